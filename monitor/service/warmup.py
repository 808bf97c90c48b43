"""The first exchange of a process, spent on ourselves: it costs tens of milliseconds more than those that follow."""

from __future__ import annotations

import contextlib
import ssl

from monitor.http.client import HttpClient
from monitor.http.exchange import HttpRequest
from monitor.http.tls import unverifying_context

_LIMIT = 1.0  # seconds


def warm_up(url: str) -> None:
    """Load and run once what an exchange needs, over an exchange with our own web server at `url`."""
    context = unverifying_context()
    HttpClient(context).exchange(HttpRequest(method="GET", url=f"{url}/-/healthy", headers={}, timeout=_LIMIT))
    hello = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):  # nobody answers
        hello.do_handshake()
