"""Helpers of the tests and the benchmarks."""
