"""Requests of commands to the daemon on this machine, over its control socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import h11

from monitor.errors import DaemonError, NoDaemonError
from monitor.machine.unix_sockets import address_of

TIMEOUT = 10.0  # seconds, for each wait
_SOCKET_NAME = "control.sock"
_DEFAULT = Path("/run/tigr-monitor", _SOCKET_NAME)  # the runtime directory of the systemd unit
_CHUNK_SIZE = 64 * 1024  # bytes


class DaemonConnection:
    """One request to the daemon and its response."""

    def __init__(self, option: str | None, timeout: float = TIMEOUT, environ: Mapping[str, str] = os.environ) -> None:
        """Connect to the socket at `option`, else to the first of `socket_paths` on which a daemon listens.

        Raises `DaemonError`.
        """
        self._timeout = timeout
        paths = [Path(option)] if option else socket_paths(environ)
        self._socket = _connected(paths, timeout) or _fail_without_daemon(paths, has_option=option is not None)
        self._http = h11.Connection(h11.CLIENT)

    def request(self, method: str, target: str, body: bytes = b"") -> tuple[int, Iterator[bytes]]:
        """Send a request; return status and body of the response, in chunks as they arrive. Raises `DaemonError`."""
        headers = [("Host", "localhost"), ("Content-Length", str(len(body)))]
        head = h11.Request(method=method, target=target, headers=headers)
        data = [self._http.send(event) for event in (head, h11.Data(data=body), h11.EndOfMessage())]
        with contextlib.ExitStack() as resources:
            resources.enter_context(self._socket)
            with contextlib.suppress(OSError):  # the daemon may have sent a response before it closed the connection
                self._socket.sendall(b"".join(part or b"" for part in data))
            event = self._next()
            if not isinstance(event, h11.Response):
                raise _failure("it closed the connection")
            resources.pop_all()
        return event.status_code, self._chunks()

    def wait_at_most(self, seconds: float) -> None:
        """Use another limit for each further wait."""
        self._timeout = seconds
        self._socket.settimeout(seconds)

    def _chunks(self) -> Iterator[bytes]:
        with self._socket:
            while isinstance(event := self._next(), h11.Data):
                yield bytes(event.data)

    def _next(self) -> h11.Event:
        """Wait for the next event of the response."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(self._socket.recv(_CHUNK_SIZE))
        except TimeoutError:
            raise _failure(f"no response within {self._timeout:g} s") from None
        except OSError as error:
            raise _failure(error.strerror or type(error).__name__) from None
        except h11.ProtocolError:
            raise _failure("the response is not complete, or not HTTP") from None
        assert isinstance(event, h11.Event)  # noqa: S101 - PAUSED needs a second request
        return event


def socket_paths(environ: Mapping[str, str]) -> list[Path]:
    """Return the paths at which the socket of a daemon on this machine may be, in the order of the search."""
    directories = [environ.get("RUNTIME_DIRECTORY", "").split(":")[0], environ.get("TIGR_STATE_DIR", "")]
    named = [environ.get("TIGR_CONTROL_SOCKET", ""), *(f"{each}/{_SOCKET_NAME}" for each in directories if each)]
    return [*(Path(each) for each in named if each), _DEFAULT]


def fetch(option: str | None, method: str, target: str, timeout: float = TIMEOUT) -> tuple[int, str]:
    """Send one request; return status and text of the response. Raises `DaemonError`."""
    status, chunks = DaemonConnection(option, timeout).request(method, target)
    return status, b"".join(chunks).decode(errors="replace")


def fetch_text(option: str | None, target: str, missing: str | None = None) -> str:
    """Return the text of a page with status 200. Raises `DaemonError` with the message of any other response.

    `missing` is the message if the page does not exist.
    """
    status, text = fetch(option, "GET", target)
    if status == 200:
        return text
    if status == 404 and missing is not None:
        raise DaemonError(missing, exit_status=1)
    try:
        message = str(json.loads(text)["error"])
    except (KeyError, TypeError, ValueError):
        message = text.strip() or f"status {status}"
    raise DaemonError(f"the monitor cannot respond: {message}", exit_status=1)


def fetch_json(option: str | None, target: str) -> dict[str, Any]:
    """Return the JSON object of a page. Raises `DaemonError`."""
    try:
        content = json.loads(fetch_text(option, target))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _failure("the response is not a JSON object")
    return content


def _connected(paths: list[Path], timeout: float) -> socket.socket | None:
    """Return a connection to the first path on which a daemon listens; None if there is none."""
    for path in paths:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.settimeout(timeout)
        try:
            with address_of(path) as address:
                client.connect(address)
        except PermissionError:
            client.close()
            raise DaemonError(
                f"cannot use the control socket {path}: permission denied; only root and the user of the monitor may "
                "use it: use sudo"
            ) from None
        except OSError as error:
            client.close()
            if isinstance(error, BlockingIOError | TimeoutError):
                raise _failure(f"no response within {timeout:g} s") from None
            continue
        return client
    return None


def _fail_without_daemon(paths: list[Path], *, has_option: bool) -> NoReturn:
    from monitor.commands.service_state import no_monitor, service_state

    raise NoDaemonError(no_monitor(paths, None if has_option else service_state()))


def _failure(reason: str) -> DaemonError:
    remedy = "look at its log, and restart it if it hangs"
    return DaemonError(f"the monitor does not respond: {reason}; {remedy}", exit_status=1)
