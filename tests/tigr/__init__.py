"""Tests of monitor.tigr."""
