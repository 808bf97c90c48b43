"""Tests of monitor.reporting."""
