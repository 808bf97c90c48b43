"""The release command: `make release VERSION=1.2.3`."""
