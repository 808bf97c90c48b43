"""Tests of the rules, the routes, and the path from a fault to a message."""
