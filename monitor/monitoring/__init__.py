"""Scheduling of logins and pings, choice of credentials and token, and backoff."""
