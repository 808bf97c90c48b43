"""A measuring HTTP/1.1 client for probes. httpx and httpcore are used in this package only."""
