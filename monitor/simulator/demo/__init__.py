"""The demo: the real monitor against a simulated TIGR on this machine, with a scenario of incidents."""
