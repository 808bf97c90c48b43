"""HTTP responses of the web server and of the control socket."""

from __future__ import annotations

from collections.abc import Sequence
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


def health_response(stalled: Sequence[str]) -> WebResponse:
    """Return the response to a request for the health of the monitor; `stalled` has a text per stalled job."""
    return text_response(503, "\n".join(stalled)) if stalled else text_response(200, "Healthy")
