"""HTTP/1.1 messages as bytes: requests are read with h11, within limits, and responses are serialized.

Responses are serialized without h11, which refuses to send the malformed ones that faults consist of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import h11

_MAX_HEADER_SECTION = 32 * 1024  # bytes
_MAX_BODY = 64 * 1024  # bytes
_RECEIVE_SIZE = 4096  # bytes
_LOOSE_LINE = re.compile(rb"(?<!\r)\n|\n[ \t]")

Receive = Callable[[int], bytes]


class BadRequestError(Exception):
    """The bytes received are not an acceptable request. The text gives the reason and holds no part of the request."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request. It holds secrets, so it is neither printed nor stored."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    header_section: bytes = field(repr=False)  # with the request line, as received
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """Return the target without its query."""
        return self.target.partition("?")[0]

    @property
    def authorization(self) -> tuple[str, str]:
        """Return the scheme of the Authorization header, in lower case, and its credentials."""
        scheme, _, credentials = self.headers.get("authorization", "").partition(" ")
        return scheme.lower(), credentials

    @property
    def keeps_alive(self) -> bool:
        """Return True if the client may send another request on the connection."""
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """One response, before a fault changes it."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""  # empty: the standard phrase of the status
    endless: bool = False  # the body has no end

    def header_section(self, *, version: str = "HTTP/1.1", **framing: str | None) -> bytes:
        """Return the status line and the headers; `framing` adds headers (`content_length="3"`) or omits one (None)."""
        headers: dict[str, str | None] = {"Server": "tigr-simulator"}
        if self.body or self.endless:
            headers["Content-Type"] = self.content_type
        headers["Content-Length"] = str(len(self.body))
        headers |= self.headers
        headers |= {name.replace("_", "-").title(): value for name, value in framing.items()}
        lines = [f"{version} {self.status} {self.reason or _reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def json_response(
    status: int, value: object, *, reason: str = "", headers: Mapping[str, str] | None = None
) -> SimulatedResponse:
    """Return a response with a JSON body; NaN and infinities are written as Python's `json` does."""
    return SimulatedResponse(status, json.dumps(value).encode(), headers=headers or {}, reason=reason)


def read_request(receive: Receive) -> ReceivedRequest | None:
    """Read one request; return None if the client closed the connection before it sent a byte.

    Raises BadRequestError, and the connection's OSError.
    """
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEADER_SECTION)
    received = bytearray()

    def receive_and_keep(size: int) -> bytes:
        data = receive(size)
        received.extend(data)
        return data

    request = _next_event(parser, receive_and_keep)
    if not isinstance(request, h11.Request):
        return None
    header_section = bytes(received).partition(b"\r\n\r\n")[0]
    if _LOOSE_LINE.search(header_section):  # h11 accepts both, and a client should send neither
        raise BadRequestError(400, "a line of the header section is folded or ends without a carriage return")
    headers = _headers(request)
    body = _body(parser, receive)
    return ReceivedRequest(request.method.decode(), request.target.decode(), headers, header_section, body)


def _next_event(parser: h11.Connection, receive: Receive) -> object:
    """Return the next event that is not NEED_DATA."""
    try:
        while (event := parser.next_event()) is h11.NEED_DATA:
            parser.receive_data(receive(_RECEIVE_SIZE))
    except h11.RemoteProtocolError as error:
        # h11's own text repeats the line that it rejects, which may hold a secret.
        too_large = error.error_status_hint == 431
        text = "the header section is too large" if too_large else "the request is malformed or incomplete"
        raise BadRequestError(431 if too_large else 400, text) from None
    return event


def _headers(request: h11.Request) -> dict[str, str]:
    """Return the headers of a request that the simulator accepts: HTTP/1.1, each header once, a body with a length."""
    headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
    if request.http_version != b"1.1":
        raise BadRequestError(400, "the version of the request is not HTTP/1.1")
    if len(headers) != len(request.headers):
        raise BadRequestError(400, "a header is repeated")
    if "transfer-encoding" in headers:
        raise BadRequestError(400, "the body of a request needs a Content-Length")
    if int(headers.get("content-length", "0")) > _MAX_BODY:
        raise BadRequestError(413, "the body of the request is too large")
    return headers


def _body(parser: h11.Connection, receive: Receive) -> bytes:
    body = b""
    while isinstance(event := _next_event(parser, receive), h11.Data):
        body += event.data
    if parser.trailing_data[0]:
        raise BadRequestError(400, "the request is longer than its Content-Length")
    return body


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
