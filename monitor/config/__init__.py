"""Settings: where they are written, what may be set, what is in force."""
