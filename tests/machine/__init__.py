"""Tests of monitor.machine."""
