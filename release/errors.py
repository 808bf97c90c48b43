"""The error of the release command."""

from __future__ import annotations


class CannotReleaseError(Exception):
    """A release is impossible. The message names the problem and its remedy."""
