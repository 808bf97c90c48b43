"""Tests of the Debian packages: their bytes, and their installation in a booted Debian 12 and 13."""
