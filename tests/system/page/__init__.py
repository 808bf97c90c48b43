"""Tests of the status page in Debian's Chromium."""
