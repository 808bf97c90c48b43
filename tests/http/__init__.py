"""Tests of monitor.http."""
