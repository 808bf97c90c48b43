"""HTTP/1.1 over one stream, spoken by httpcore."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpcore

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.stream import NOT_HTTP, ConnectionStream

if TYPE_CHECKING:
    from monitor.http.connection import MeasuredConnection


MAX_HEADER_SECTION_SIZE = 16 * 1024  # bytes of its head

# At its level DEBUG httpcore writes every header of an answer, and a server may echo in one what it was sent.
logging.getLogger("httpcore.http11").disabled = True


class Http11Connection(httpcore.HTTP11Connection):
    """Speak HTTP/1.1, and limit the size of the header section."""

    MAX_INCOMPLETE_EVENT_SIZE = MAX_HEADER_SECTION_SIZE


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """The head of an answer, and its body as it comes."""

    headers: list[tuple[bytes, bytes]]
    body: Iterator[bytes]


@contextmanager
def http_faults(connection: MeasuredConnection, stream: ConnectionStream) -> Iterator[None]:
    """Tell a breach of HTTP as a fault: what it means depends on how far the answer had come."""
    try:
        yield
    except httpcore.RemoteProtocolError:  # its text may quote the answer, so it goes no further
        if connection.status is None and not stream.received:
            raise ExchangeError(ExchangeFault.DISCONNECT, "the connection was closed without an answer") from None
        if connection.status is None:
            raise ExchangeError(ExchangeFault.DISCONNECT, NOT_HTTP) from None
        if stream.ended:
            raise ExchangeError(
                ExchangeFault.DISCONNECT, "the connection was closed in the middle of the answer"
            ) from None
        raise ExchangeError(ExchangeFault.MALFORMED, "the answer breaks the rules of HTTP") from None
