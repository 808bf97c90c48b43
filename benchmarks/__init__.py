"""Benchmarks of the cost and the accuracy of the monitor: commands to run manually, not tests."""
