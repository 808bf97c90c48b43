"""The values of the HTTP client: a request, its proxy, and the results of an exchange or of a connection check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitor.http.errors import ExchangeFault
from monitor.model import Phase


class HttpProxy(Protocol):
    """An HTTP proxy that opens a tunnel (CONNECT)."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def authorization(self) -> str | None:
        """Return the value of Proxy-Authorization, or None if the proxy needs none."""


@dataclass(frozen=True, slots=True)
class PhaseEnd:
    """The end of a phase of an exchange that is in progress, with the facts that the connection has shown so far."""

    phase: Phase
    seconds: float
    address: str | None = None  # with a proxy: of the proxy
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter
    chain_expiry: float | None = None  # Unix seconds, earliest notAfter in the verified chain


PhaseObserver = Callable[[PhaseEnd], None]  # runs inside the exchange: its time is measured, so it returns at once


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request and its deadline."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout: float  # seconds from the start of the lookup to the last byte of the response
    content: bytes = field(default=b"", repr=False)
    proxy: HttpProxy | None = None
    observer: PhaseObserver | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The result of a request. If there is a `fault`, the other fields hold the facts known when it occurred.

    A response that is complete, but arrived after the deadline, has the fault `timeout`.
    """

    started_at: float  # Unix seconds
    duration: float  # seconds
    phases: Mapping[Phase, float]  # seconds; only the phases that were reached
    fault: ExchangeFault | None = None
    fault_detail: str = ""
    status: int | None = None  # known as soon as the status line is complete
    reason_phrase: str = field(default="", repr=False)  # Latin-1, at most MAX_REASON_PHRASE; empty if absent
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # names in lower case
    body: bytes = field(default=b"", repr=False)
    body_delay: float = 0.0  # seconds from the final status line to the first byte of the body
    address: str | None = None
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter
    chain_expiry: float | None = None  # Unix seconds, earliest notAfter in the verified chain

    @property
    def last_phase(self) -> Phase | None:
        """Return the phase in which the exchange ended."""
        return next(reversed(tuple(self.phases)), None)


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """The result of a connection that was opened and closed without a request."""

    started_at: float  # Unix seconds
    duration: float  # seconds from the lookup to the end of the handshake or to the fault; closing is not included
    fault: ExchangeFault | None = None
    fault_detail: str = ""
    phase: Phase | None = None  # the phase in which it failed
    address: str | None = None
    tls_version: str | None = None
    certificate_expiry: float | None = None  # Unix seconds, notAfter
    chain_expiry: float | None = None  # Unix seconds, earliest notAfter in the verified chain
