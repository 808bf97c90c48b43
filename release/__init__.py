"""How a version is made: `make release VERSION=1.2.3`."""
