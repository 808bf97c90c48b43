"""Tests of the monitor against real authorization servers."""
