"""Observation of requests while they run, for the command that shows each step as it happens.

An observer is set for the current thread and only for the time of a block, so the probes of the daemon have none: then
no request has a phase observer, and nothing is called while it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from monitor.http.exchange import PhaseEnd, PhaseObserver
from monitor.model import Endpoint, FieldNames, Result


@dataclass(frozen=True, slots=True)
class RequestBegin:
    """A request that is about to be sent."""

    endpoint: Endpoint
    url: str
    field_names: FieldNames | None = None  # of a login
    has_token: bool = False
    has_proxy: bool = False


class RequestObserver(Protocol):
    """Follows the requests of one thread. Each method runs inside a probe, so it must return at once and not raise."""

    def request_begins(self, request: RequestBegin) -> None: ...
    def phase_ended(self, end: PhaseEnd) -> None: ...
    def request_ended(self, result: Result) -> None:
        """Receive the Result of a request before its consequences are known."""

    def recorded(self, result: Result) -> None:
        """Receive a Result with its consequences."""

    def certificate_seen(self, endpoint: Endpoint, expiry: float) -> None:
        """Receive the expiry (Unix seconds) of a certificate that failed verification."""


_observer: ContextVar[RequestObserver | None] = ContextVar("observer", default=None)


@contextmanager
def observed(observer: RequestObserver) -> Iterator[None]:
    """Pass what the current thread sends and records inside this block to `observer`."""
    reset = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(reset)


def current_observer() -> RequestObserver | None:
    """Return the observer of the current thread, or None."""
    return _observer.get()


def phase_observer(request: RequestBegin) -> PhaseObserver | None:
    """Report the begin of a request, and return the observer of its phases; None if there is no observer."""
    observer = _observer.get()
    if observer is None:
        return None
    observer.request_begins(request)
    return observer.phase_ended
