"""Web server for metrics, health and readiness, with optional TLS, client certificates and passwords."""
