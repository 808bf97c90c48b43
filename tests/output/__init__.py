"""Tests of monitor.output."""
