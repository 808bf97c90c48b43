"""HTTP exchanges of the web server: the request as a route gets it, and the delivery of its response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from monitor.web.responses import WebResponse

_CHUNK_SIZE = 32 * 1024  # bytes per write: a client that does not read occupies a few chunks of memory

# A page loads its stylesheet, its script and its updates from this server, and nothing from elsewhere.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]

Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class WebRequest:
    """One GET or HEAD request that access control has allowed."""

    path: str  # decoded, without a query
    headers: Headers  # by name, in lower case
    query: str = ""  # encoded

    def header(self, name: bytes) -> str:
        """Return the value of a header field; empty if the request has none."""
        return self.headers.get(name, b"").decode("latin-1")


Route = Callable[[WebRequest], Awaitable[WebResponse]]


async def deliver(response: WebResponse, extra: list[tuple[bytes, bytes]], send: Send) -> None:
    """Send a response with the security headers; `extra` replaces them, and an empty value removes one."""
    basic = [
        (b"content-type", response.content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(response.body)),
    ]
    replaced = {name for name, _ in extra}
    headers = [
        *(basic if response.status != 304 else []),  # it has no content (RFC 9110 section 15.4.5)
        *response.headers,
        *(h for h in _SECURITY_HEADERS if h[0] not in replaced),
        *(h for h in extra if h[1]),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    view = memoryview(response.body)
    for start in range(0, len(view), _CHUNK_SIZE):
        await send({"type": "http.response.body", "body": bytes(view[start : start + _CHUNK_SIZE]), "more_body": True})
    await send({"type": "http.response.body"})
