"""The connection of commands to the daemon: the search for its socket, and failures of the exchange."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.commands.connection import DaemonConnection, fetch, fetch_json, fetch_text, socket_paths
from monitor.errors import DaemonError
from monitor.service.control import StreamedResponse
from monitor.web.responses import text_response
from tests.support.call import call
from tests.support.checkout import ROOT
from tests.support.control import FakeDaemon, serving
from tests.support.process import PATIENCE

LIGHT = "import sys; from monitor.cli import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the socket."""
    return tmp_path / "control.sock"


def test_the_search_has_an_order() -> None:
    """Variables come first, in the order of the documentation, then the runtime directory of the unit."""
    default = Path("/run/tigr-monitor/control.sock")
    environ = {"TIGR_STATE_DIR": "/state", "RUNTIME_DIRECTORY": "/run/a:/run/b", "TIGR_CONTROL_SOCKET": "/c.sock"}
    assert socket_paths({}) == [default]
    assert socket_paths(environ) == [
        Path("/c.sock"), Path("/run/a/control.sock"), Path("/state/control.sock"), default
    ]  # fmt: skip


def test_the_first_socket_with_a_daemon_is_used(tmp_path: Path) -> None:
    """A socket that is missing or stale is skipped, but not the one that an option names."""
    stale, live = tmp_path / "stale", tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(stale))
    environ = {"TIGR_CONTROL_SOCKET": str(stale), "TIGR_STATE_DIR": str(tmp_path)}
    with serving(live, FakeDaemon().respond):
        status, chunks = DaemonConnection(None, environ=environ).request("GET", "/-/healthy")
        assert (status, b"".join(chunks)) == (200, b"Healthy\n")
        with pytest.raises(DaemonError, match=f"no monitor runs on this machine: no process listens on {stale}; start"):
            DaemonConnection(str(stale), environ=environ)


@pytest.mark.parametrize("name", ["status", "incidents", "evidence", "report", "reload"])
def test_without_a_daemon_a_command_reports_what_to_do(name: str, path: Path) -> None:
    """It is one line, and the status is 3."""
    ended = call([name, "--socket", str(path)], {})
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == (
        f"tigr-monitor: no monitor runs on this machine: no process listens on {path}; "
        "start it, or name its socket with --socket or TIGR_CONTROL_SOCKET\n"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_permission_the_message_names_sudo(tmp_path: Path) -> None:
    """The directory or the socket refuses another user."""
    script = (  # Python may lie below the home of root: the first call imports all that the second one needs
        "import os, sys; from monitor.commands import status; from monitor.cli import main\n"
        "assert main(['status', '--socket', '/nowhere']) == 3\n"
        "os.setgid(65534); os.setuid(65534); sys.exit(main(['status', '--socket', sys.argv[1]]))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "control.sock")]
    tmp_path.chmod(0o700)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert "permission denied" in ended.stderr
    assert "use sudo" in ended.stderr


@contextlib.contextmanager
def responding(path: Path, response: bytes, *, closing: bool = True) -> Iterator[None]:
    """Respond to one client with these bytes, then close the connection or wait."""
    ended = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def respond() -> None:
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(response)
                assert closing or ended.wait(PATIENCE)

        thread = threading.Thread(target=respond)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    "response,reason",
    [
        (b"", "it closed the connection|the response is not complete"),
        (b"220 smtp\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "not complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not a JSON object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "not a JSON object"),
    ],
)
def test_a_response_that_is_none_is_a_failure(response: bytes, reason: str, path: Path) -> None:
    """The status is 1, because something runs."""
    with responding(path, response), pytest.raises(DaemonError, match=reason) as failure:
        fetch_json(str(path), "/")
    assert failure.value.exit_status == 1


def test_a_daemon_that_hangs_is_a_failure(path: Path) -> None:
    """The message has the limit and what to do."""
    with (
        responding(path, b"HTTP/1.1 200 OK\r\n", closing=False),
        pytest.raises(DaemonError, match=r"no response within 0.2 s; look at its log") as failure,
    ):
        fetch(str(path), "GET", "/", 0.2)
    assert failure.value.exit_status == 1


def test_the_message_of_an_error_is_shown(path: Path) -> None:
    """It is that of the JSON interface, or the text."""
    with serving(path, FakeDaemon().respond):
        with pytest.raises(DaemonError, match=r"^the monitor cannot respond: id: there is no such incident; /api"):
            fetch_text(str(path), "/api/v1/evidence/1")
        with pytest.raises(DaemonError, match=r"^the monitor cannot respond: Not found$"):
            fetch_text(str(path), "/else")
    with serving(path, lambda _: text_response(200, "[]")), pytest.raises(DaemonError, match="not a JSON object"):
        fetch_json(str(path), "/")


def test_a_streamed_response_arrives_as_it_comes(path: Path) -> None:
    """The first chunk arrives before the second exists."""
    proceed = threading.Event()

    def steps() -> Iterator[bytes]:
        yield b"first"
        assert proceed.wait(PATIENCE)
        yield b"second"

    with serving(
        path, lambda request: StreamedResponse("text/plain", [request.body, *()] if request.body else steps())
    ):
        status, chunks = DaemonConnection(str(path)).request("POST", "/check")
        assert (status, next(chunks)) == (200, b"first")
        proceed.set()
        assert list(chunks) == [b"second"]
        assert b"".join(DaemonConnection(str(path)).request("POST", "/check", b"body")[1]) == b"body"


@pytest.mark.parametrize("name", ["status", "reload", "health"])
def test_a_command_loads_neither_the_daemon_nor_its_libraries(name: str, path: Path) -> None:
    """It runs every few seconds, so it must be small and fast."""
    command = [sys.executable, "-c", LIGHT, name, "--socket", str(path)]
    with serving(path, FakeDaemon().respond):
        loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr.split()
    assert "monitor.commands.connection" in loaded
    heavy = {"httpx", "httpcore", "pydantic", "uvicorn", "apscheduler", "prometheus_client", "asyncio", "yaml", "ssl"}
    packages = {"config", "http", "monitoring", "reporting", "service", "tigr", "web"}
    assert not heavy & {module.split(".")[0] for module in loaded}
    assert not {f"monitor.{package}" for package in packages} & set(loaded)
