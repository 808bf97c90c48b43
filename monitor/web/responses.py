"""HTTP responses of the web server and of the control socket."""

from __future__ import annotations

from dataclasses import dataclass

_PLAIN = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class WebResponse:
    """One HTTP response."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def text_response(status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> WebResponse:
    """Return a response with one or more lines of text."""
    return WebResponse(status, _PLAIN, f"{text}\n".encode(), headers)
