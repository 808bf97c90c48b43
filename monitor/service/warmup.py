"""Warm-up: a first exchange with the own web server, because it takes tens of milliseconds longer than later ones."""

from __future__ import annotations

import contextlib
import ssl

from monitor.http.client import HttpClient
from monitor.http.exchange import HttpRequest
from monitor.http.tls import unverifying_context

_TIMEOUT = 1.0  # seconds


def warm_up(url: str) -> None:
    """Load the code of an exchange and run it once, with the daemon's own web server at `url`."""
    context = unverifying_context()
    HttpClient(context).exchange(HttpRequest(method="GET", url=f"{url}/-/healthy", headers={}, timeout=_TIMEOUT))
    hello = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):  # there is no server
        hello.do_handshake()
