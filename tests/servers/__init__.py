"""Real authorization servers, and the monitor against each of them."""
