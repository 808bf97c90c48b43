"""The standard streams of the process, and everything that Python would print on them."""
