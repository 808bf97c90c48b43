"""Canaries: secrets with unique values, and a search for them in every encoding."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from monitor.simulator import Simulator
from monitor.simulator.registry import SimulatedCredentials

_RUN = 8  # characters: a shorter run of a secret reveals nothing

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
    return sorted({run for secret in secrets for run in _runs(secret) if run in text})


def _runs(secret: str) -> Iterator[str]:
    for encoded in _encoded(secret):
        for start in range(max(1, len(encoded) - _RUN + 1)):
            yield encoded[start : start + _RUN]


def _encoded(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    for padding in range(3):  # each alignment in base64, without the characters that depend on adjacent bytes
        encoded = base64.b64encode(b"\0" * padding + secret.encode()).decode()
        yield encoded[4 if padding else 0 :].rstrip("=")[:-1]
