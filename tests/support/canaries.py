"""Canaries: secrets with unique values, and a search for them in every encoding."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from monitor.simulator import Simulator
from monitor.simulator.registry import SimulatedCredentials

_RUN = 8  # characters: a shorter run of a secret reveals nothing
_PART = 4  # characters
_STRIDE = _RUN - _PART + 1  # each run contains a part that begins at a multiple of this number

CANARIES = SimulatedCredentials(
    client_id="Kx7vQ2-canary-client",
    client_secret="Zt9:pL4%wRäu+canary&secret=",
    username="Jm3 bN8'canary\"user",
    password="Hd6:fY1%cSöo+canary&word=",
)


@contextmanager
def simulator_with_canaries() -> Iterator[Simulator]:
    """Yield a simulator of both environments with TLS, no latency, and canaries as secrets."""
    with Simulator() as running:
        for environment in running.environments.values():
            environment.latency = 0.0
            environment.credentials = CANARIES
        yield running


def values(credentials: SimulatedCredentials) -> tuple[str, ...]:
    """Return the four secrets."""
    return credentials.client_id, credentials.client_secret, credentials.username, credentials.password


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """Return the runs of secrets that `text` contains: raw, URL-encoded or base64-encoded."""
    return sorted({run for secret in secrets if _may_leak(text, secret) for run in _runs(secret) if run in text})


def _may_leak(text: str, secret: str) -> bool:
    """Return False if `text` contains no run of the secret. It searches for a fifth of the strings."""
    return any(part in text for part in _parts(secret))


@functools.lru_cache(maxsize=32)  # tokens are different in each test
def _runs(secret: str) -> frozenset[str]:
    return frozenset(
        encoded[start : start + _RUN]
        for encoded in _encoded(secret)
        for start in range(max(1, len(encoded) - _RUN + 1))
    )


@functools.lru_cache(maxsize=32)
def _parts(secret: str) -> frozenset[str]:
    return frozenset(
        encoded[start : start + _PART]
        for encoded in _encoded(secret)
        for start in range(0, max(1, len(encoded) - _PART + 1), _STRIDE)
    )


def _encoded(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    for padding in range(3):  # each alignment in base64, without the characters that depend on adjacent bytes
        encoded = base64.b64encode(b"\0" * padding + secret.encode()).decode()
        yield encoded[4 if padding else 0 :].rstrip("=")[:-1]
