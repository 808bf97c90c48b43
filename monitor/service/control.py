"""The control socket: HTTP on a Unix socket, for commands on this machine.

Only root and the user of the monitor may use it: the socket has mode 0600, and the kernel reports the user of each
client. Each connection serves one request in a thread of its own, so a client that hangs disturbs nothing.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import h11

from monitor.errors import describe_exception
from monitor.log import fields
from monitor.machine.unix_sockets import address_of
from monitor.monitoring.state_directory import why_unsafe
from monitor.output.failure_period import FailurePeriod
from monitor.threads import Workers
from monitor.web.responses import WebResponse, text_response

_MAX_CONNECTIONS = 16
_MAX_HEADER_SECTION = 16 * 1024  # bytes
_MAX_BODY = 64 * 1024  # bytes
_REQUEST_TIMEOUT = 10.0  # seconds from the connect until the request is complete
_SEND_TIMEOUT = 10.0  # seconds for a response, or for one chunk of a streamed response
_PROBE_TIMEOUT = 1.0  # seconds for a connection to a socket that exists at the start
_ACCEPT_RETRY_INTERVAL = 0.5  # seconds after an accept that failed
_CREDENTIALS = struct.Struct("iII")  # pid, uid and gid: the structure `ucred` of unix(7)
_log = logging.getLogger(__name__)


class SocketInUseError(Exception):
    """Another process listens on the socket."""


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """One request of a command."""

    method: str
    path: str
    query: str
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """A response with status 200 whose chunks are sent as soon as they exist."""

    content_type: str
    chunks: Iterable[bytes]


ControlResponse = WebResponse | StreamedResponse
Respond = Callable[[ControlRequest], ControlResponse]


class ControlServer:
    """Serves the control socket from `start` to `stop`; it listens from the creation on.

    `respond` runs in the thread of its connection and may wait. Raises `SocketInUseError` if another process listens
    there, and `OSError` if the socket cannot be made.
    """

    def __init__(self, path: Path, respond: Respond) -> None:
        self._path = path
        self._respond = respond
        self._listener, self._inode = _listen(path)
        self._slots = threading.Semaphore(_MAX_CONNECTIONS)
        self._workers = Workers()
        self._failures = FailurePeriod()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Start to respond. Raises `RuntimeError` if the system cannot start a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Remove the socket and accept no further connection. Requests in progress are not waited for."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # it is missing, or its directory is
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the wait of `accept`
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # the stop, or no descriptor, which the web server and the probes report
                self._stopping.wait(_ACCEPT_RETRY_INTERVAL)
                continue
            if not self._slots.acquire(blocking=False):
                client.close()
                continue
            try:
                self._workers.start(functools.partial(self._serve, client))
            except RuntimeError:  # no thread
                client.close()
                self._slots.release()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                self._exchange(client)
        except (OSError, h11.ProtocolError):
            pass  # the client has left, or hangs
        except Exception as error:  # noqa: BLE001 - nothing above the thread reports it
            self._report(error)
        finally:
            self._slots.release()

    def _exchange(self, client: socket.socket) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEADER_SECTION)
        try:
            request = _receive(client, connection)
        except _RequestError as error:
            _send(client, connection, text_response(error.status, str(error)), is_head=False)
            return
        if request is None:
            return
        response = self._response(request) if _is_allowed(client) else _DENIAL
        _send(client, connection, response, is_head=request.method == "HEAD")

    def _response(self, request: ControlRequest) -> ControlResponse:
        try:
            response = self._respond(request)
        except Exception as error:  # noqa: BLE001 - a request that fails must not end the thread
            self._report(error)
            return text_response(500, "The request failed with an internal error; see the log of tigr-monitor.")
        self._failures.succeeded()
        return response

    def _report(self, error: Exception) -> None:
        if self._failures.failed(fault := describe_exception(error)):
            _log.error("cannot respond to a request on the control socket", extra=fields(fault=fault))


_DENIAL = text_response(403, "Only root and the user of the monitor may use the control socket: use sudo.")


class _RequestError(Exception):
    """A request that cannot be read. The message is the response with `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _listen(path: Path) -> tuple[socket.socket, int]:
    """Return a listening socket at `path`, and its inode."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if why := why_unsafe(path.parent):
        raise OSError(errno.EPERM, why)
    with contextlib.ExitStack() as resources:
        address = resources.enter_context(address_of(path))
        _remove_stale(path, address)
        listener = resources.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(address)
        path.chmod(0o600)  # before it listens: no other user can connect in between
        listener.listen(_MAX_CONNECTIONS)
        inode = path.lstat().st_ino
        resources.pop_all()
    return listener, inode


def _remove_stale(path: Path, address: str) -> None:
    """Remove a socket on which no process listens."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "it exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PROBE_TIMEOUT)
        try:
            client.connect(address)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except (BlockingIOError, TimeoutError):  # its backlog is full
            pass
    raise SocketInUseError


def _is_allowed(client: socket.socket) -> bool:
    """Return whether the user at the other end is root or the user of this process."""
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    return user in (0, os.geteuid())


def _receive(client: socket.socket, connection: h11.Connection) -> ControlRequest | None:
    """Return the request; None if the client has left without one. Raises `_RequestError`, and `OSError`."""
    deadline = time.monotonic() + _REQUEST_TIMEOUT
    head: h11.Request | None = None
    body = bytearray()
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise _RequestError(error.error_status_hint, "The request is not valid HTTP, or is too large.") from None
        if event is h11.NEED_DATA:
            client.settimeout(max(0.001, deadline - time.monotonic()))
            connection.receive_data(client.recv(_MAX_HEADER_SECTION))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_BODY:
                raise _RequestError(413, f"The body of the request has more than {_MAX_BODY} bytes.")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode("latin-1").partition("?")
            return ControlRequest(head.method.decode("latin-1"), path, query, bytes(body))
        else:
            return None


def _send(client: socket.socket, connection: h11.Connection, response: ControlResponse, *, is_head: bool) -> None:
    """Send the response and announce that the connection closes. Raises `OSError`."""
    client.settimeout(_SEND_TIMEOUT)  # for each `sendall`
    headers = [(b"content-type", response.content_type.encode()), (b"connection", b"close")]
    if isinstance(response, StreamedResponse):
        status, headers = 200, [*headers, (b"transfer-encoding", b"chunked")]
    else:
        status, headers = response.status, [*headers, *response.headers]
        headers.append((b"content-length", b"%d" % len(response.body)))
    reason = b""
    client.sendall(connection.send(h11.Response(status_code=status, headers=headers, reason=reason)) or b"")
    chunks: Iterable[bytes] = response.chunks if isinstance(response, StreamedResponse) else [response.body]
    for chunk in () if is_head else chunks:
        client.sendall(connection.send(h11.Data(data=chunk)) or b"")
    client.sendall(connection.send(h11.EndOfMessage()) or b"")
