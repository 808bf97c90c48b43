"""Every known fault, and the result that the monitor derives from it."""
