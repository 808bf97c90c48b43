"""A process that was stopped (SIGSTOP) until after the deadline reads the response that has arrived meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monitor.simulator.certificates import CertificateStore
from tests.support.process import PATIENCE, clean, status, wait_for
from tests.support.raw_server import http_response

TIMEOUTS = (5.0, 20.0, 100.0)  # seconds: all requests leave within the first one, unless the machine is busy
_GRANT = b'{"access_token": "t", "token_type": "bearer", "expires_in": 60, "scope": "access"}'
_PONG = b'{"pong": "2024-10-31T17:58:38Z"}'
_REFUSAL = b'{"error": "invalid_grant"}'
_EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
_SPLIT = b"|cut|"  # sent as two segments, with TLS as two records


@dataclass(frozen=True, slots=True)
class Case:
    """A response that arrives while the process is stopped, and the expected Result."""

    endpoint: str
    response: bytes
    reason: str
    status: int | None
    expected: dict[str, object] = field(default_factory=dict)  # other fields of the Result
    handshake: bool = False  # the process is stopped during the handshake


CASES = {
    "pong": Case("ping", http_response(_PONG), "timeout", 200, {"phase": "transfer"}),
    "pong in two parts": Case("ping", http_response(_PONG).replace(b"\r\n\r\n", b"\r\n\r\n|cut|"), "timeout", 200),
    "grant": Case("token", http_response(_GRANT), "timeout", 200, {"token": False, "refused": False}),
    "not JSON": Case("ping", http_response(b"<html>"), "timeout", 200),
    "broken gzip": Case("ping", http_response(b"text", "Content-Encoding: gzip"), "timeout", 200),
    "ping 429": Case(
        "ping", http_response(b"", "Retry-After: 77", status=429), "rate_limited", 429, {"retry_after": 77.0}
    ),
    "login 429": Case(
        "token",
        http_response(b"x" * 50_000, "Retry-After: 77", status=429).replace(b" 429 X\r\n", b" 429 X\r\n|cut|"),
        "rate_limited",
        429,
        {"retry_after": 77.0, "refused": False},
    ),
    "429 after 103": Case(
        "ping",
        _EARLY + _SPLIT + http_response(b"", "Retry-After: 77", status=429),
        "rate_limited",
        429,
        {"retry_after": 77.0},
    ),
    "429 without an end": Case("ping", b"HTTP/1.1 429 X\r\nRetry-After: 77\r\n", "rate_limited", 429),
    "login 503": Case(
        "token", http_response(b"", "Retry-After: 77", status=503), "server_error", 503, {"retry_after": 77.0}
    ),
    "login 401": Case("token", http_response(b"", status=401), "unauthorized", 401, {"refused": True}),
    "ping 401": Case("ping", http_response(b"", status=401), "unauthorized", 401, {"rejects_token": True}),
    "login 500 that names the credentials": Case(
        "token",
        http_response(gzip.compress(_REFUSAL, mtime=0), "Content-Encoding: gzip", status=500).replace(
            b"\r\n\r\n", b"\r\n\r\n|cut|"
        ),
        "server_error",
        500,
        {"refused": True, "names_credentials": True},
    ),
    "login 200 that names the credentials": Case(
        "token", http_response(_REFUSAL), "timeout", 200, {"refused": True, "names_credentials": True}
    ),
    "ping in the handshake": Case("ping", b"", "timeout", None, {"phase": "tls"}, handshake=True),
    "check in the handshake": Case("check", b"", "timeout", None, {"phase": "tls"}, handshake=True),
    "nothing": Case("ping", b"", "timeout", None, {"phase": "processing"}),
    "half a status line": Case("ping", b"HTTP/1.1 42", "timeout", None, {"phase": "processing"}),
    "not HTTP": Case("ping", b"220 smtp.test ESMTP\r\n", "timeout", None, {"phase": "processing"}),
}
PARAMETERS = [
    (name, scheme) for name in CASES for scheme in ("http", "https") if scheme == "https" or not CASES[name].handshake
]


@dataclass(frozen=True, slots=True)
class Late:
    """The Results of all cases over HTTP and HTTPS, from one stop of one process."""

    timeout: float  # seconds
    results: dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Late:
    """Provide the Results; the timeout is the first within which every request leaves."""
    certificates = CertificateStore(tmp_path_factory.mktemp("certificates"))
    for timeout in TIMEOUTS:
        lines = _late_results(certificates, timeout)
        if lines is not None:
            return Late(timeout, dict(zip(PARAMETERS, map(json.loads, lines), strict=True)))
    pytest.fail(f"not every request left within {TIMEOUTS[-1]:g} s")


def _late_results(certificates: CertificateStore, timeout: float) -> list[str] | None:
    """Return the output of the process; None if a request did not leave within `timeout`."""
    requested = threading.Semaphore(0)
    stopped = threading.Event()
    with contextlib.ExitStack() as stack:
        urls = []
        for name, scheme in PARAMETERS:
            context = certificates.context() if scheme == "https" else None
            port = stack.enter_context(_server(CASES[name], context, requested, stopped))
            urls.append(f"{scheme}://localhost:{port}/{CASES[name].endpoint}")
        return _stop_after_the_requests(timeout, [str(certificates.ca_file), *urls], requested, stopped)


def _stop_after_the_requests(
    timeout: float, arguments: list[str], requested: threading.Semaphore, stopped: threading.Event
) -> list[str] | None:
    """Stop the process after its requests, let the responses arrive, continue it after its deadline."""
    command = [sys.executable, "-m", "tests.support.stopped_client", f"{timeout}", *arguments]
    with subprocess.Popen(
        command, env=clean({}), stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        try:
            assert process.stdout is not None
            started = float(process.stdout.readline())
            if not all(requested.acquire(timeout=timeout) for _ in PARAMETERS):
                return None
            deadline = time.monotonic() + timeout
            process.send_signal(signal.SIGSTOP)
            wait_for(lambda: status(process.pid)["State"].strip().startswith("T"), "the process is stopped")
            if time.monotonic() >= started + timeout:  # the first deadline may have passed before the stop
                return None
            stopped.set()
            for _ in PARAMETERS:
                assert requested.acquire(timeout=PATIENCE), "not every response was sent"
            while (rest := deadline - time.monotonic()) >= 0:
                threading.Event().wait(rest + 0.01)
            process.send_signal(signal.SIGCONT)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    return output.splitlines()


@contextlib.contextmanager
def _server(
    case: Case, context: ssl.SSLContext | None, progress: threading.Semaphore, stopped: threading.Event
) -> Iterator[int]:
    """Yield the port of a server that reads one request, responds after `stopped`, and keeps the connection open.

    It releases `progress` when it has read and when it has sent.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):  # the process was ended, because a request did not leave in time
                connection: socket.socket
                connection, _ = listening.accept()
                if case.handshake:
                    _wait_in_the_handshake(connection, progress, stopped)
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                with connection:
                    if case.handshake:
                        _start_handshake(connection, progress)
                    else:
                        _respond(connection, case.response, progress, stopped)
                    over.wait(60)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        stopped.set()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _respond(
    connection: socket.socket, response: bytes, progress: threading.Semaphore, stopped: threading.Event
) -> None:
    if isinstance(connection, ssl.SSLSocket):
        connection.do_handshake()
    request = b""
    while b"\r\n\r\n" not in request:
        data = connection.recv(65536)
        if not data:
            return
        request += data
    progress.release()
    assert stopped.wait(200)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in response.split(_SPLIT):
        connection.sendall(part)
    progress.release()


def _wait_in_the_handshake(connection: socket.socket, progress: threading.Semaphore, stopped: threading.Event) -> None:
    connection.recv(1, socket.MSG_PEEK)  # the ClientHello
    progress.release()
    assert stopped.wait(200)


def _start_handshake(connection: socket.socket, progress: threading.Semaphore) -> None:
    """Send the server's part of the handshake, and leave out the rest."""
    assert isinstance(connection, ssl.SSLSocket)
    connection.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    progress.release()


@pytest.mark.parametrize("name,scheme", PARAMETERS)
def test_a_late_response_is_a_timeout_unless_its_status_is_another_than_200(late: Late, name: str, scheme: str) -> None:
    """A late 200 is a timeout; another status keeps its reason; Retry-After and a refusal are never lost."""
    case, result = CASES[name], late.results[name, scheme]
    assert (result["reason"], result["status"]) == (case.reason, case.status), result
    assert {key: result[key] for key in case.expected} == case.expected
    assert result["duration"] >= late.timeout
    assert result["phases"] == pytest.approx(result["duration"], abs=1e-6)
    if result["reason"] == "timeout" and not result["refused"]:
        assert result["detail"] == f"no response within {late.timeout:g} s"
