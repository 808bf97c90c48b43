"""How an answer is decided and how it travels, with a fault or without."""

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

_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>The gateway is unhappy</h1></body></html>"
_ENDLESS_BLOCK = b" " * 1023 + b"\n"
_ENDLESS_PAUSE = 0.02  # seconds
_ENDLESS_BLOCKS = 15_000  # five minutes: longer than any client waits


def decide(
    registry: Registry, host: Host, request: ReceivedRequest, fault: HostFault | None
) -> SimulatedResponse | None:
    """What is answered; None when it is nothing or no HTTP."""
    if isinstance(fault, (HangAfterHandshake, NotHttp, Raw)) or fault == Reset(Moment.REQUEST):
        return None
    if answer := _instead(request, fault):
        return answer
    if host is Host.TOKEN:
        return registry.token(request, fault if isinstance(fault, TokenResponse) else None)
    pong = fault if isinstance(fault, Pong) else None
    return registry.api(request, accept_unauthenticated=isinstance(fault, ApiOpen), pong=pong)


def _instead(request: ReceivedRequest, fault: HostFault | None) -> SimulatedResponse | None:
    """What is answered instead of what the registry would say."""
    match fault:
        case Status():
            return _status(fault)
        case Body():
            return SimulatedResponse(fault.status, fault.data, fault.content_type)
        case Echo():
            words = (request.header_section + b"\n\n" + request.body).decode("utf-8", "replace")
            return error_container(fault.status, "BadRequest", f"cannot process: {words}")
        case SwitchingProtocols():
            return SimulatedResponse(101, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
    return None


def send(connection: AcceptedConnection, answer: SimulatedResponse | None, fault: HostFault | None) -> bool:
    """Send it, as the fault has it; True when the connection can serve another request."""
    if isinstance(fault, Slow):
        connection.pause(fault.seconds)
    if answer is not None and (answer.endless or isinstance(fault, (Drip, HugeBody))):
        _stream(connection, answer, fault)
        return False
    data, end = _no_answer(fault) if answer is None else _bytes(answer, fault)
    connection.send(data)
    if end is ConnectionEnd.HANG:
        connection.hang()
    elif end is ConnectionEnd.RESET:
        connection.reset()
    return end is None


def _no_answer(fault: HostFault | None) -> tuple[bytes, ConnectionEnd]:
    match fault:
        case NotHttp():
            return b"220 simulator.test ESMTP at your service\r\n", ConnectionEnd.HANG
        case Raw():
            return fault.data, fault.then
        case Reset():
            return b"", ConnectionEnd.RESET
        case _:
            return b"", ConnectionEnd.HANG


def _bytes(answer: SimulatedResponse, fault: HostFault | None) -> tuple[bytes, ConnectionEnd | None]:
    """What is sent, and what becomes of the connection then; None: it waits for another request."""
    head, body = answer.header_section(), answer.body
    half_a_head = head[: (head.index(b"\r\n") + len(head)) // 2]  # with a whole status line
    half_a_body = head + body[: len(body) // 2]
    parts: dict[type, tuple[bytes, ConnectionEnd]] = {
        HangMidHeaders: (half_a_head, ConnectionEnd.HANG),
        HangMidBody: (half_a_body, ConnectionEnd.HANG),
        TruncatedBody: (half_a_body, ConnectionEnd.CLOSE),
        SwitchingProtocols: (answer.header_section(content_length=None), ConnectionEnd.HANG),
        Http10: (answer.header_section(version="HTTP/1.0", content_length=None) + body, ConnectionEnd.CLOSE),
    }
    match fault:
        case Reset():
            return half_a_head if fault.at is Moment.HEADERS else half_a_body, ConnectionEnd.RESET
        case ChunkedBroken():
            chunk = _chunk(body)
            head = answer.header_section(content_length=None, transfer_encoding="chunked")
            return head + chunk[: len(chunk) // 2], ConnectionEnd.CLOSE
    return parts.get(type(fault)) or (_whole(answer, fault), None)


def _whole(answer: SimulatedResponse, fault: HostFault | None) -> bytes:
    """An answer that ends by what its headers say."""
    head, body = answer.header_section(), answer.body
    match fault:
        case EarlyHints():
            head = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" + head
        case WrongContentLength():
            head = answer.header_section(content_length=str(max(0, len(body) + fault.by)))
        case Chunked():
            head = answer.header_section(content_length=None, transfer_encoding="chunked")
            third = max(1, len(body) // 3)
            body = b"".join(_chunk(body[at : at + third]) for at in range(0, len(body), third)) + _chunk(b"")
        case Gzipped() | GzipBomb():
            body = _bomb(fault.size) if isinstance(fault, GzipBomb) else gzip.compress(body)
            head = answer.header_section(content_encoding="gzip", content_length=str(len(body)))
    return head + body


def _stream(connection: AcceptedConnection, answer: SimulatedResponse, fault: HostFault | None) -> None:
    """Send what takes long or is large, piece by piece, until the client goes."""
    match fault:
        case Drip(at=Moment.BODY):
            connection.send(answer.header_section())
            drip(connection, answer.body, fault.seconds)
        case Drip():
            drip(connection, answer.header_section() + answer.body, fault.seconds)
        case HugeBody():
            connection.send(answer.header_section(content_length=str(fault.claims)))
            for _ in range(min(fault.claims, fault.sends) // 65536):
                connection.send(b" " * 65536)
        case _:
            connection.send(answer.header_section(content_length=None, connection="close"))
            for _ in range(_ENDLESS_BLOCKS):
                connection.send(_ENDLESS_BLOCK)
                connection.pause(_ENDLESS_PAUSE)


def drip(connection: AcceptedConnection, data: bytes, seconds: float) -> None:
    """Send one byte, wait, send the next."""
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
