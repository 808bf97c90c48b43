"""Presentation of Results: metrics, event log and status line."""
