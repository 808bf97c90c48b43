"""The Debian packages: `make deb`."""
