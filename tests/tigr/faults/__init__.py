"""Every fault that is known, and what the monitor makes of it."""
