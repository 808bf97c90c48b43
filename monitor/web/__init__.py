"""The web server: metrics, health and readiness, behind TLS and passwords if configured."""
