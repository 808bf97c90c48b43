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
    Content,
    Drip,
    EarlyHints,
    Echo,
    End,
    Fault,
    GzipBomb,
    Gzipped,
    HangAfterHandshake,
    HangMidBody,
    HangMidHeaders,
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
    TokenAnswer,
    TruncatedBody,
    WrongContentLength,
)
from monitor.simulator.listener import Connection
from monitor.simulator.log import Host
from monitor.simulator.message import Answer, Request, json_answer
from monitor.simulator.registry import Registry, error_container

_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>The gateway is unhappy</h1></body></html>"
_ENDLESS_BLOCK = b" " * 1023 + b"\n"
_ENDLESS_PAUSE = 0.02  # seconds
_ENDLESS_BLOCKS = 15_000  # five minutes: longer than any client waits


def decide(registry: Registry, host: Host, request: Request, fault: Fault | None) -> Answer | None:
    """What is answered; None when it is nothing or no HTTP."""
    match fault:
        case Status():
            return _status(fault)
        case Body():
            return Answer(fault.status, fault.data, fault.content_type)
        case Echo():
            words = (request.head + b"\n\n" + request.body).decode("utf-8", "replace")
            return error_container(fault.status, "BadRequest", f"cannot process: {words}")
        case SwitchingProtocols():
            return Answer(101, headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        case HangAfterHandshake() | NotHttp() | Raw() | Reset(at=Moment.REQUEST):
            return None
    if host is Host.TOKEN:
        return registry.token(request, fault if isinstance(fault, TokenAnswer) else None)
    pong = fault if isinstance(fault, Pong) else None
    return registry.api(request, open_door=isinstance(fault, ApiOpen), pong=pong)


def send(connection: Connection, answer: Answer | None, fault: Fault | None) -> bool:
    """Send it, as the fault has it; True when the connection can serve another request."""
    if answer is None:
        _send_no_answer(connection, fault)
        return False
    if answer.endless:
        _send_endless(connection, answer)
        return False
    if _is_whole(fault):
        return _send_whole(connection, answer, fault)
    _send_broken(connection, answer, fault)
    return False


def _is_whole(fault: Fault | None) -> bool:
    broken = (HangMidHeaders, HangMidBody, Drip, Reset, Http10, SwitchingProtocols, TruncatedBody, ChunkedBroken)
    return not isinstance(fault, (*broken, HugeBody))


def _send_whole(connection: Connection, answer: Answer, fault: Fault | None) -> bool:
    """Send an answer that ends by what its headers say."""
    head, body = answer.head(), answer.body
    match fault:
        case Slow():
            connection.pause(fault.seconds)
        case EarlyHints():
            head = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" + head
        case WrongContentLength():
            head = answer.head(content_length=str(max(0, len(body) + fault.by)))
        case Chunked():
            head = answer.head(content_length=None, transfer_encoding="chunked")
            third = max(1, len(body) // 3)
            body = b"".join(_chunk(body[at : at + third]) for at in range(0, len(body), third)) + b"0\r\n\r\n"
        case Gzipped():
            body = gzip.compress(body)
            head = answer.head(content_encoding="gzip", content_length=str(len(body)))
        case GzipBomb():
            body = _bomb(fault.size)
            head = answer.head(content_encoding="gzip", content_length=str(len(body)))
    connection.send(head + body)
    return True


def _send_broken(connection: Connection, answer: Answer, fault: Fault | None) -> None:
    """Send an answer that breaks off, hangs, or ends with the connection."""
    head, body = answer.head(), answer.body
    half_a_head = head[: (head.index(b"\r\n") + len(head)) // 2]  # with a whole status line
    match fault:
        case Http10():
            connection.send(answer.head(version="HTTP/1.0", content_length=None) + body)
        case SwitchingProtocols():
            connection.send(answer.head(content_length=None))
            connection.hang()
        case HangMidHeaders():
            connection.send(half_a_head)
            connection.hang()
        case HangMidBody():
            connection.send(head + body[: len(body) // 2])
            connection.hang()
        case Reset(at=Moment.HEADERS):
            connection.send(half_a_head)
            connection.reset()
        case Reset():
            connection.send(head + body[: len(body) // 2])
            connection.reset()
        case TruncatedBody():
            connection.send(head + body[: len(body) // 2])
        case ChunkedBroken():
            chunk = _chunk(body)
            connection.send(answer.head(content_length=None, transfer_encoding="chunked") + chunk[: len(chunk) // 2])
        case HugeBody():
            connection.send(answer.head(content_length=str(fault.claims)))
            for _ in range(min(fault.claims, fault.sends) // 65536):
                connection.send(b" " * 65536)
        case Drip(at=Moment.BODY):
            connection.send(head)
            drip(connection, body, fault.seconds)
        case Drip():
            drip(connection, head + body, fault.seconds)


def drip(connection: Connection, data: bytes, seconds: float) -> None:
    """Send one byte, wait, send the next."""
    for at in range(len(data)):
        connection.send(data[at : at + 1])
        connection.pause(seconds)


def _send_no_answer(connection: Connection, fault: Fault | None) -> None:
    match fault:
        case HangAfterHandshake():
            connection.hang()
        case Reset():
            connection.reset()
        case NotHttp():
            connection.send(b"220 simulator.test ESMTP at your service\r\n")
            connection.hang()
        case Raw():
            connection.send(fault.data)
            if fault.then is End.RESET:
                connection.reset()
            elif fault.then is End.HANG:
                connection.hang()


def _send_endless(connection: Connection, answer: Answer) -> None:
    connection.send(answer.head(content_length=None, connection="close"))
    for _ in range(_ENDLESS_BLOCKS):
        connection.send(_ENDLESS_BLOCK)
        connection.pause(_ENDLESS_PAUSE)


def _status(fault: Status) -> Answer:
    match fault.body:
        case Content.ERROR_CONTAINER:
            return error_container(fault.code, f"Simulated{fault.code}", "a simulated fault", dict(fault.headers))
        case Content.RFC6749:
            error = {"error": fault.error, "error_description": "a simulated fault"}
            return json_answer(fault.code, error, headers=fault.headers)
        case Content.HTML:
            return Answer(fault.code, _HTML, "text/html; charset=utf-8", fault.headers)
        case Content.EMPTY:
            return Answer(fault.code, headers=fault.headers)
        case Content.ENDLESS:
            return Answer(fault.code, headers=fault.headers, endless=True)


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@functools.lru_cache(maxsize=1)
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(wbits=31)
    packed = packer.compress(b'{"pong": "')
    block = b"\0" * 65536
    packed += b"".join(packer.compress(block) for _ in range(size // len(block)))
    return packed + packer.compress(b'"}') + packer.flush()
