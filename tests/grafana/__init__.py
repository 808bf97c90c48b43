"""The tests of the Grafana dashboard."""
