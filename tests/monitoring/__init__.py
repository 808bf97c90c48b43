"""Tests of monitor.monitoring."""
