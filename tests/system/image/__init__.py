"""Tests of the image, built and run without a registry."""
