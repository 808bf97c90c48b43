"""The control socket on a real socket: who may use it, its limits, and its life from start to exit."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.machine.unix_sockets import address_of
from monitor.service import control
from monitor.service.control import (
    ControlRequest,
    ControlResponse,
    ControlServer,
    SocketInUseError,
    StreamedResponse,
)
from monitor.web.responses import text_response
from tests.support.control import serving
from tests.support.process import PATIENCE, wait_for

AS_NOBODY = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
while data := client.recv(1024):
    print(data.decode())
"""


def echo(request: ControlRequest) -> ControlResponse:
    """Respond with the request."""
    return text_response(200, f"{request.method} {request.path} {request.query} {len(request.body)}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a socket in a directory that does not exist."""
    return tmp_path / "run" / "control.sock"


def connected(path: Path) -> socket.socket:
    """Return a connection to the socket."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(PATIENCE)
    with address_of(path) as address:
        client.connect(address)
    return client


def exchange(path: Path, method: str = "GET", target: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    """Send a request; return status and body of the response."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = connected(path)
    with contextlib.closing(connection):
        connection.request(method, target, body=body)
        response = connection.getresponse()
        return response.status, response.read()


def raw(path: Path, data: bytes) -> bytes:
    """Send bytes; return everything that arrives until the end of the connection."""
    received = b""
    with connected(path) as client, contextlib.suppress(ConnectionError):
        client.sendall(data)
        while data := client.recv(4096):
            received += data
    return received


def test_it_responds_to_one_request_per_connection(path: Path) -> None:
    """Method, path, query and body arrive, and the response announces the close."""
    with serving(path, echo):
        assert exchange(path, "POST", "/a/b?c=d&e", b"12345") == (200, b"POST /a/b c=d&e 5\n")
        assert exchange(path) == (200, b"GET /  0\n")
        assert b"\r\nconnection: close\r\n" in raw(path, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").lower()
        head = raw(path, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert head.endswith(b"\r\n\r\n")
        assert b"content-length: 10" in head.lower()


def test_only_the_owner_can_reach_it(path: Path) -> None:
    """The directory that is created for it has mode 0700, and the socket 0600."""
    with serving(path, echo):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_twice() -> None:
    """The mode of the socket refuses the connection; with another mode, the user that the kernel reports does."""
    with tempfile.TemporaryDirectory() as name, serving(Path(name, "control.sock"), echo):
        Path(name).chmod(0o711)
        command = [sys.executable, "-c", AS_NOBODY, f"{name}/control.sock"]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "PermissionError" in refused.stderr
        Path(name, "control.sock").chmod(0o666)
        denied = subprocess.run(command, capture_output=True, text=True, check=True)
        assert denied.stdout.startswith("HTTP/1.1 403 ")
        assert "Only root and the user of the monitor" in denied.stdout
        assert exchange(Path(name, "control.sock"))[0] == 200


def test_a_path_beyond_the_limit_of_the_kernel_works(tmp_path: Path) -> None:
    """It is made, used, found in use, and removed."""
    path = tmp_path / ("d" * 150) / "control.sock"
    with serving(path, echo):
        assert exchange(path)[0] == 200
        with pytest.raises(SocketInUseError):
            ControlServer(path, echo)
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_live_one_is_an_error(path: Path) -> None:
    """A killed monitor leaves a socket on which no process listens."""
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with serving(path, echo):
        assert exchange(path)[0] == 200
        with pytest.raises(SocketInUseError):
            ControlServer(path, echo)
        assert exchange(path)[0] == 200


def test_a_live_socket_with_a_full_backlog_is_in_use(path: Path) -> None:
    """The process behind it may hang, but it is not gone."""
    path.parent.mkdir(mode=0o700)
    with contextlib.ExitStack() as clients, socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen(0)
        clients.enter_context(connected(path))
        with pytest.raises(SocketInUseError):
            ControlServer(path, echo)


def test_another_file_is_not_replaced(path: Path) -> None:
    """A wrong path must not delete a file."""
    path.parent.mkdir(mode=0o700)
    path.write_text("important")
    with pytest.raises(OSError, match="it exists and is not a socket"):
        ControlServer(path, echo)
    assert path.read_text() == "important"


def test_a_directory_to_which_others_can_write_is_refused(path: Path) -> None:
    """Another user could replace the socket by one of theirs."""
    path.parent.mkdir()
    path.parent.chmod(0o777)
    with pytest.raises(OSError, match="every user can write to the directory"):
        ControlServer(path, echo)


def test_it_is_removed_at_the_stop_if_it_is_still_its_own(path: Path) -> None:
    """The socket of a monitor that replaced it stays."""
    with serving(path, echo):
        pass
    assert not path.exists()
    with serving(path, echo):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.is_socket()


def test_a_stop_ends_the_thread(path: Path) -> None:
    """The thread that accepts connections does not wait for another one."""
    with serving(path, echo) as server:
        assert server._thread.is_alive()
    server._thread.join(PATIENCE)
    assert not server._thread.is_alive()


def test_clients_that_hang_disturb_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a thread; beyond the limit a connection is closed, and there is room again when they have left."""
    monkeypatch.setattr(control, "_REQUEST_TIMEOUT", 600.0)
    with serving(path, echo):
        with contextlib.ExitStack() as clients:
            for _ in range(control._MAX_CONNECTIONS - 1):
                clients.enter_context(connected(path)).sendall(b"GET / HT")
            wait_for(lambda: not is_full(path), "there is room for one")

            def last_one_fills() -> bool:  # unless the client of the line above still has its place
                client = clients.enter_context(connected(path))
                with contextlib.suppress(ConnectionError):
                    client.sendall(b"GET / HT")
                return is_full(path)

            wait_for(last_one_fills, "the limit")
        wait_for(lambda: not is_full(path), "there is room again")


def test_a_client_that_hangs_is_disconnected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that drip do not prolong its time."""
    monkeypatch.setattr(control, "_REQUEST_TIMEOUT", 0.5)
    with serving(path, echo), connected(path) as client:

        def drips() -> bool:
            try:
                client.sendall(b"x")
            except ConnectionError:
                return False
            return True

        wait_for(lambda: not drips(), "the end of the connection")


def is_full(path: Path) -> bool:
    """Return whether a request gets no response."""
    return raw(path, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""


def test_a_response_that_is_not_read_is_dropped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread ends after the timeout."""
    monkeypatch.setattr(control, "_SEND_TIMEOUT", 0.2)
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.set()

    with serving(path, lambda _: StreamedResponse("text/plain", endless())), connected(path) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert closed.wait(PATIENCE)


def test_a_streamed_response_is_sent_as_it_comes(path: Path) -> None:
    """The first chunk arrives before the second exists, and the end is marked."""
    proceed = threading.Event()

    def steps() -> Iterator[bytes]:
        yield b"first\n"
        assert proceed.wait(PATIENCE)
        yield b"second\n"

    with serving(path, lambda _: StreamedResponse("application/x-ndjson", steps())):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = connected(path)
        connection.request("POST", "/")
        response = connection.getresponse()
        assert response.readline() == b"first\n"
        proceed.set()
        assert response.read() == b"second\n"
        assert response.getheader("content-type") == "application/x-ndjson"
        connection.close()


def test_a_streamed_response_that_fails_is_not_complete(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The client sees that the end is missing, and the log has the fault without its text."""

    def steps() -> Iterator[bytes]:
        yield b"first\n"
        raise RuntimeError("a secret")

    with serving(path, lambda _: StreamedResponse("text/plain", steps())), pytest.raises(http.client.IncompleteRead):
        exchange(path)
    wait_for(lambda: caplog.messages == ["cannot respond to a request on the control socket"], "the log")
    assert "a secret" not in caplog.text


@pytest.mark.parametrize(
    "data,status",
    [
        (b"\x16\x03\x01 not HTTP\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nPadding: " + b"x" * 20_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
    ],
)
def test_a_wrong_request_gets_an_error(data: bytes, status: bytes, path: Path) -> None:
    """It is not HTTP, or it is too large; the next request gets its response."""
    with serving(path, echo):
        assert raw(path, data).startswith(b"HTTP/1.1 " + status)
        assert exchange(path)[0] == 200


def test_a_client_that_leaves_is_no_error(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It sends nothing, or half a request."""
    with serving(path, echo):
        for data in (b"", b"GET / HT"):
            with connected(path) as client:
                client.sendall(data)
        assert exchange(path)[0] == 200
    assert caplog.messages == []


def test_a_handler_that_fails_is_reported_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The status is 500, and the log has the type of the exception without its text."""

    def fail(_request: ControlRequest) -> ControlResponse:
        raise RuntimeError("a secret")

    with serving(path, fail):
        assert [exchange(path)[0] for _ in range(2)] == [500, 500]
    assert caplog.messages == ["cannot respond to a request on the control socket"]
    assert "a secret" not in caplog.text
