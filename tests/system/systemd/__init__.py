"""The service under a real systemd, installed as the README says."""
