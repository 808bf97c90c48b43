"""When to log in and ping, with which credentials and token, and when to wait."""
