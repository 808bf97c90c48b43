"""Who may see the web pages, and over what: TLS and passwords, in the file format that Prometheus' exporters share."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Guard(Protocol):
    """What stands before the pages. Called in the web server's event loop."""

    tls: bool
    headers: list[tuple[bytes, bytes]]

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context for a connection that begins now."""

    async def refusal(self, path: str, authorization: bytes) -> Refusal | None:
        """Return why `path` is not shown to whom sent `authorization`; None if it is."""
