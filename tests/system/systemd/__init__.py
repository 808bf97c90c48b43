"""Tests of the service under a real systemd, installed with the documented commands."""
