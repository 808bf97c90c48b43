"""The dashboard against Grafana's types and a real Prometheus."""
