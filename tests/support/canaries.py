"""Secrets that can be found again: values that look like nothing else, and a search for them in every dress."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from monitor.simulator import Simulator
from monitor.simulator.registry import SimulatedCredentials

_PIECE = 8  # characters; a shorter one gives nothing away

CANARIES = SimulatedCredentials(
    client_id="Kx7vQ2-canary-client",
    client_secret="Zt9:pL4%wRäu+canary&secret=",
    username="Jm3 bN8'canary\"user",
    password="Hd6:fY1%cSöo+canary&word=",
)


@contextmanager
def simulator_with_canaries() -> Iterator[Simulator]:
    """Both environments, over TLS, without latency, with secrets that can be found again."""
    with Simulator() as running:
        for environment in running.environments.values():
            environment.latency = 0.0
            environment.credentials = CANARIES
        yield running


def values(credentials: SimulatedCredentials) -> tuple[str, ...]:
    """The four secrets."""
    return credentials.client_id, credentials.client_secret, credentials.username, credentials.password


def leaks(text: str, secrets: Iterable[str]) -> list[str]:
    """The pieces of secrets that are in `text`: raw, URL-encoded, base64-encoded. It should be empty."""
    return sorted({piece for secret in secrets for piece in _pieces(secret) if piece in text})


def _pieces(secret: str) -> Iterator[str]:
    for dressed in _dressed(secret):
        for start in range(max(1, len(dressed) - _PIECE + 1)):
            yield dressed[start : start + _PIECE]


def _dressed(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    for padding in range(3):  # wherever it stands in what is encoded, less what its neighbours change
        encoded = base64.b64encode(b"\0" * padding + secret.encode()).decode()
        yield encoded[4 if padding else 0 :].rstrip("=")[:-1]
