"""Fault injection: decide the response to a request and send it, with or without a fault."""

from __future__ import annotations

import functools
import gzip
import zlib

from monitor.simulator.faults import (
    ApiOpen,
    Body,
    Chunked,
    ChunkedBroken,
    ConnectionEnd,
    Content,
    Drip,
    EarlyHints,
    Echo,
    GzipBomb,
    Gzipped,
    HangAfterHandshake,
    HangMidBody,
    HangMidHeaders,
    HostFault,
    Http10,
    HugeBody,
    Moment,
    NotHttp,
    Pong,
    Raw,
    Reset,
    Slow,
    Status,
    SwitchingProtocols,
    TokenResponse,
    TruncatedBody,
    WrongContentLength,
)
from monitor.simulator.listener import AcceptedConnection
from monitor.simulator.message import ReceivedRequest, SimulatedResponse, json_response
from monitor.simulator.registry import Registry, error_container
from monitor.simulator.request_log import Host

_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Gateway error</h1></body></html>"
_ENDLESS_BLOCK = b" " * 1023 + b"\n"
_ENDLESS_INTERVAL = 0.02  # seconds between two blocks
_ENDLESS_BLOCKS = 15_000  # five minutes: longer than any client waits


def decide(
    registry: Registry, host: Host, request: ReceivedRequest, fault: HostFault | None
) -> SimulatedResponse | None:
    """Return the response; None if the host sends nothing or no HTTP."""
    if isinstance(fault, (HangAfterHandshake, NotHttp, Raw)) or fault == Reset(Moment.REQUEST):
        return None
    if response := _replacement(request, fault):
        return response
    if host is Host.TOKEN:
        return registry.token(request, fault if isinstance(fault, TokenResponse) else None)
    pong = fault if isinstance(fault, Pong) else None
    return registry.api(request, accept_unauthenticated=isinstance(fault, ApiOpen), pong=pong)


def _replacement(request: ReceivedRequest, fault: HostFault | None) -> SimulatedResponse | None:
    """Return the response that the fault puts in place of the registry's; None if it does not."""
    match fault:
        case Status():
            return _status(fault)
        case Body():
            return SimulatedResponse(fault.status, fault.data, fault.content_type)
        case Echo():
            text = (request.header_section + b"\n\n" + request.body).decode("utf-8", "replace")
            return error_container(fault.status, "BadRequest", f"cannot process: {text}")
        case SwitchingProtocols():
            return SimulatedResponse(101, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    return None


def send(connection: AcceptedConnection, response: SimulatedResponse | None, fault: HostFault | None) -> bool:
    """Send the response with the fault; return True if the connection can take another request."""
    if isinstance(fault, Slow):
        connection.pause(fault.seconds)
    if response is not None and (response.endless or isinstance(fault, (Drip, HugeBody))):
        _stream(connection, response, fault)
        return False
    if response is not None and isinstance(fault, EarlyHints):
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        connection.pause(fault.seconds)
    data, end = _without_response(fault) if response is None else _bytes(response, fault)
    connection.send(data)
    if end is ConnectionEnd.HANG:
        connection.hang()
    elif end is ConnectionEnd.RESET:
        connection.reset()
    return end is None


def _without_response(fault: HostFault | None) -> tuple[bytes, ConnectionEnd]:
    match fault:
        case NotHttp():
            return b"220 simulator.test ESMTP ready\r\n", ConnectionEnd.HANG
        case Raw():
            return fault.data, fault.then
        case Reset():
            return b"", ConnectionEnd.RESET
        case _:
            return b"", ConnectionEnd.HANG


def _bytes(response: SimulatedResponse, fault: HostFault | None) -> tuple[bytes, ConnectionEnd | None]:
    """Return the bytes to send and the end of the connection after them; None if the connection stays open."""
    header_section, body = response.header_section(), response.body
    end_of_status_line = header_section.index(b"\r\n")
    partial_headers = header_section[: (end_of_status_line + len(header_section)) // 2]
    partial_body = header_section + body[: len(body) // 2]
    parts: dict[type, tuple[bytes, ConnectionEnd]] = {
        HangMidHeaders: (partial_headers, ConnectionEnd.HANG),
        HangMidBody: (partial_body, ConnectionEnd.HANG),
        TruncatedBody: (partial_body, ConnectionEnd.CLOSE),
        SwitchingProtocols: (response.header_section(content_length=None), ConnectionEnd.HANG),
        Http10: (response.header_section(version="HTTP/1.0", content_length=None) + body, ConnectionEnd.CLOSE),
    }
    match fault:
        case Reset():
            return partial_headers if fault.at is Moment.HEADERS else partial_body, ConnectionEnd.RESET
        case ChunkedBroken():
            chunk = _chunk(body)
            header_section = response.header_section(content_length=None, transfer_encoding="chunked")
            return header_section + chunk[: len(chunk) // 2], ConnectionEnd.CLOSE
    return parts.get(type(fault)) or (_whole(response, fault), None)


def _whole(response: SimulatedResponse, fault: HostFault | None) -> bytes:
    """Return the bytes of a response whose end follows from its headers."""
    header_section, body = response.header_section(), response.body
    match fault:
        case WrongContentLength():
            header_section = response.header_section(content_length=str(max(0, len(body) + fault.by)))
        case Chunked():
            header_section = response.header_section(content_length=None, transfer_encoding="chunked")
            third = max(1, len(body) // 3)
            body = b"".join(_chunk(body[at : at + third]) for at in range(0, len(body), third)) + _chunk(b"")
        case Gzipped() | GzipBomb():
            body = _bomb(fault.size) if isinstance(fault, GzipBomb) else gzip.compress(body)
            header_section = response.header_section(content_encoding="gzip", content_length=str(len(body)))
    return header_section + body


def _stream(connection: AcceptedConnection, response: SimulatedResponse, fault: HostFault | None) -> None:
    """Send a slow or large response in parts, until the client closes the connection."""
    match fault:
        case Drip(at=Moment.BODY):
            connection.send(response.header_section())
            drip(connection, response.body, fault.seconds)
        case Drip():
            drip(connection, response.header_section() + response.body, fault.seconds)
        case HugeBody():
            connection.send(response.header_section(content_length=str(fault.claims)))
            for _ in range(min(fault.claims, fault.sends) // 65536):
                connection.send(b" " * 65536)
        case _:
            connection.send(response.header_section(content_length=None, connection="close"))
            for _ in range(_ENDLESS_BLOCKS):
                connection.send(_ENDLESS_BLOCK)
                connection.pause(_ENDLESS_INTERVAL)


def drip(connection: AcceptedConnection, data: bytes, seconds: float) -> None:
    """Send one byte at a time, with a pause of `seconds` after each."""
    for at in range(len(data)):
        connection.send(data[at : at + 1])
        connection.pause(seconds)


def _status(fault: Status) -> SimulatedResponse:
    match fault.body:
        case Content.ERROR_CONTAINER:
            return error_container(fault.code, f"Simulated{fault.code}", "a simulated fault", dict(fault.headers))
        case Content.RFC6749:
            error = {"error": fault.error, "error_description": "a simulated fault"}
            return json_response(fault.code, error, headers=fault.headers)
        case Content.HTML:
            return SimulatedResponse(fault.code, _HTML, "text/html; charset=utf-8", fault.headers)
        case Content.EMPTY:
            return SimulatedResponse(fault.code, headers=fault.headers)
        case Content.ENDLESS:
            return SimulatedResponse(fault.code, headers=fault.headers, endless=True)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@functools.lru_cache(maxsize=1)
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b'{"pong": "')
    block = b"\0" * 65536
    packed += b"".join(packer.compress(block) for _ in range(size // len(block)))
    return packed + packer.compress(b'"}') + packer.flush()
