"""The step at which a probe failed: the request that was sent, the expected and the received response, as texts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.hosts import host_of
from monitor.model import Endpoint, Phase, Reason
from monitor.reporting.incident import ProbeRecord

_METHODS = {Endpoint.TOKEN: "POST", Endpoint.PING: "GET"}
_EXPECTED = {
    Endpoint.TOKEN: 'status 200 with a JSON object that contains "access_token" and "expires_in"',
    Endpoint.PING: 'status 200 with a JSON object that contains "pong"',
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a probe, in texts."""

    sent: str
    expected: str
    received: str


def request_line(endpoint: Endpoint, url: str) -> str:
    """Return the first line of the request to this URL."""
    return f"{_METHODS[endpoint]} {urlsplit(url).path or '/'} HTTP/1.1"


def step_of(endpoint: Endpoint, url: str, record: ProbeRecord) -> Step:
    """Return the step at which the probe failed that `record` describes."""
    host = host_of(url)
    before = {
        Phase.RESOLVE: (f"a lookup of {host}", "an address"),
        Phase.CONNECT: (f"a TCP connection to {host}", "an open connection"),
        Phase.TLS: (f"a TLS handshake with {host}", "a certificate that verifies, and TLS 1.2 or newer"),
    }
    if record.reason is Reason.NO_TOKEN:
        return Step("nothing", "a valid token from the login", "there is no valid token, so no ping was sent")
    if record.status is None and record.failed_phase in before:
        sent, expected = before[record.failed_phase]
        return Step(sent, expected, received(record))
    return Step(f"{request_line(endpoint, url)} to {host}", _EXPECTED[endpoint], received(record))


def received(record: ProbeRecord) -> str:
    """Return status and message of the server, or the error of the network."""
    status = None if record.status is None else f"status {record.status}"
    detail = record.detail if status is None or not record.detail.startswith(status) else record.detail[len(status) :]
    parts = [status, record.error_code and f"code {record.error_code}", detail.lstrip(", ")]
    return ", ".join(part for part in parts if part) or "no response"
