"""The tests of tigr-monitor."""
