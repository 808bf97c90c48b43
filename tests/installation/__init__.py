"""Tests of monitor.installation."""
