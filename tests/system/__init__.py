"""Tests that need root, Debian packages, or package registries."""
