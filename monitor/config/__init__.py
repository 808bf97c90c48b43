"""Settings: read the sources, validate the values, describe the result."""
