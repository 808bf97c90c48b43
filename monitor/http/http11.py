"""HTTP/1.1 over one stream: the request of an exchange, and CONNECT to a proxy. httpcore implements the protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx

from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.exchange import HttpProxy, HttpRequest
from monitor.http.stream import MAX_RESPONSE_SIZE, NOT_HTTP, ConnectionStream

# At level DEBUG httpcore logs every response header, and a server may echo the request's secrets in one.
logging.getLogger("httpcore.http11").disabled = True


class Http11Connection(httpcore.HTTP11Connection):
    """An HTTP/1.1 connection of httpcore whose only limit is that of its stream.

    h11 compares its own limit for a header section with the bytes that the last read left over, so the result depends
    on how the response is cut into packets. The stream never delivers more than this value.
    """

    MAX_INCOMPLETE_EVENT_SIZE = MAX_RESPONSE_SIZE


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """A response whose header section has been read, and whose body is read while it is iterated over."""

    headers: list[tuple[bytes, bytes]]
    body: Iterator[bytes]  # raises ExchangeError


def send_request(request: HttpRequest, url: httpx.URL, stream: ConnectionStream) -> StreamedResponse:
    """Send `request` for the parsed `url`, and read the header section of the response. Raises `ExchangeError`.

    httpx builds the request and httpcore sends it. httpx's own client is not used, because it adds redirects, cookies,
    proxies and authentication.
    """
    built = httpx.Request(request.method, url, headers=request.headers, content=request.content or None)
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    with _http_faults(stream, peer="server"):
        response = Http11Connection(target.origin, stream).handle_request(
            httpcore.Request(built.method, target, headers=built.headers.raw, content=built.stream)
        )
    return StreamedResponse(response.headers, _body(response, stream))


def open_tunnel(host: str, port: int, proxy: HttpProxy, stream: ConnectionStream) -> None:
    """Send CONNECT for `host` and `port` (RFC 9110 section 9.3.6).

    Raises `ExchangeError`: a proxy fault for every failure but a timeout and a limit of this machine.
    """
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = {"Host": authority}
    if proxy.authorization:
        headers["Proxy-Authorization"] = proxy.authorization
    target = httpcore.URL(scheme="http", host=proxy.host, port=proxy.port, target=authority)
    request = httpcore.Request("CONNECT", target, headers=list(headers.items()))
    try:
        with _http_faults(stream, peer="proxy"):
            Http11Connection(target.origin, stream).handle_request(request)
    except ExchangeError as error:
        if error.fault in (ExchangeFault.TIMEOUT, ExchangeFault.INTERNAL):
            raise
        if not _refuses(stream.status.code):
            raise ExchangeError(ExchangeFault.PROXY, f"the proxy opened no tunnel: {error.detail}") from None
    if _refuses(stream.status.code):  # also if the rest of the response is broken
        raise ExchangeError(ExchangeFault.PROXY, f"the proxy refused the tunnel with status {stream.status.code}")


def _refuses(status: int | None) -> bool:
    return status is not None and not 200 <= status <= 299


def _body(response: httpcore.Response, stream: ConnectionStream) -> Iterator[bytes]:
    with _http_faults(stream, peer="server"):
        yield from response.iter_stream()


@contextmanager
def _http_faults(stream: ConnectionStream, *, peer: str) -> Iterator[None]:
    """Turn a violation of HTTP into an `ExchangeError`; the fault depends on the part of the response received."""
    try:
        yield
    except httpcore.RemoteProtocolError:  # its text may quote the response, so it is not repeated
        if stream.status.code is None and not stream.received:
            fault, detail = ExchangeFault.DISCONNECT, f"the {peer} closed the connection without a response"
        elif stream.status.code is None:
            fault, detail = ExchangeFault.DISCONNECT, NOT_HTTP
        elif stream.ended:
            fault, detail = ExchangeFault.DISCONNECT, f"the {peer} closed the connection in the middle of the response"
        else:
            fault, detail = ExchangeFault.MALFORMED, "the response violates HTTP"
        raise ExchangeError(fault, detail) from None
