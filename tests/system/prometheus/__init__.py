"""The rules, the routes, and the way from a fault to a message."""
