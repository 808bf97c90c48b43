"""One measured HTTP exchange on a connection of its own: the only home of httpx and httpcore."""
