"""Tests of the JSON interface with a generator of requests."""
