"""The service under a real systemd, installed as docs/install.md says."""
