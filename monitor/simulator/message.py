"""HTTP/1.1 as bytes: a request is read within caps, an answer is put together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

_MAX_HEAD = 32 * 1024
_MAX_BODY = 64 * 1024

Receive = Callable[[int], bytes]


class BadRequestError(Exception):
    """What came is no request that can be answered by its content; the text says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request. It holds secrets: it is neither printed nor kept."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    head: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def authorization(self) -> tuple[str, str]:
        """The scheme in lower case and what follows it."""
        scheme, _, credentials = self.headers.get("authorization", "").partition(" ")
        return scheme.lower(), credentials

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        return self.headers.get("connection", "").lower() != "close"


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """One answer, before anything goes wrong with it."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""  # empty: the usual one
    endless: bool = False  # the body goes on for ever

    def head(self, *, version: str = "HTTP/1.1", **framing: str | None) -> bytes:
        """Status line and headers; `framing` adds headers (`content_length="3"`) or leaves one out (None)."""
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
    """Answer with JSON; NaN and infinities come out as Python writes them."""
    return SimulatedResponse(status, json.dumps(value).encode(), headers=headers or {}, reason=reason)


def read_request(receive: Receive) -> ReceivedRequest | None:
    """Read one request; None when the client went before it began.

    Raises BadRequestError, and OSError as the connection does.
    """
    if not (received := _head_and_more(receive)):
        return None
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    line, _, rest = head.decode("latin-1").partition("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or parts[2] != "HTTP/1.1":
        raise BadRequestError(400, "the request line is not one of HTTP/1.1")
    headers = _headers(rest)
    length = headers.get("content-length", "0")
    if "host" not in headers or "transfer-encoding" in headers or not length.isdecimal():
        raise BadRequestError(400, "a request has a Host, and its body a Content-Length")
    if int(length) > _MAX_BODY:
        raise BadRequestError(413, "the request's body is too large")
    return ReceivedRequest(parts[0], parts[1], headers, head, _body(receive, body, int(length)))


def _head_and_more(receive: Receive) -> bytearray:
    received = bytearray()
    while b"\r\n\r\n" not in received:
        if len(received) > _MAX_HEAD:
            raise BadRequestError(431, "the request's head is too large")
        if not (data := receive(4096)):
            if received:
                raise BadRequestError(400, "the request broke off")
            break
        received += data
    return received


def _body(receive: Receive, body: bytes, length: int) -> bytes:
    while len(body) < length:
        if not (data := receive(length - len(body))):
            raise BadRequestError(400, "the request broke off")
        body += data
    if len(body) > length:
        raise BadRequestError(400, "more came than the request's Content-Length")
    return body


def _headers(lines: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in filter(None, lines.split("\r\n")):
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip() or name in headers:
            raise BadRequestError(400, "a header is malformed or came twice")
        headers[name] = value.strip()
    return headers


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
