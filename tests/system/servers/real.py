"""Real authorization servers as processes: install, start and stop them, end their tokens, read their requests."""

from __future__ import annotations

import json
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from tests.support.checkout import ROOT
from tests.support.process import PATIENCE, clean
from tests.system.servers.account import ServerAccount

# Password and client secret share no eight characters with a message of a server: the monitor would drop the message.
ACCOUNT = ServerAccount("monitor-client", "Vt5-harbour-mosaic", "monitor-user", "Rk7-dolphin-orbit")
WRONG = "Wq3-lantern-cedar"

PYTHON_SERVERS = ("django", "authlib", "fastapi")
NODE_SERVERS = ("node", "oidc")
INSTALL_TIMEOUT = 120.0  # seconds, of each of the two installations; 4 s with warm caches

_HERE = Path(__file__).parent


def install_python(directory: Path) -> Path:
    """Install the Python servers with pinned hashes; return the path of their Python."""
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    _run([sys.executable, "-m", "venv", "--without-pip", str(directory)], ROOT)
    _run([*pip, "--no-compile", "--require-hashes", "--no-deps", "-r", "requirements/servers.txt"], ROOT)
    return python


def install_node(directory: Path) -> None:
    """Install the Node.js servers in the versions of the lock file."""
    for file in (*_HERE.glob("*.json"), *_HERE.glob("*.mjs")):
        shutil.copy(file, directory)
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], directory)


def _run(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, check=False)
    assert done.returncode == 0, f"{' '.join(command[:4])} ...: {done.stderr.strip()}"


@dataclass(frozen=True)
class ReceivedRequest:
    """A request that a server received: its path, the names of its form fields, and the status of the response."""

    path: str
    fields: tuple[str, ...]
    status: int

    @property
    def is_login(self) -> bool:
        """Return True for a token request, False for a ping."""
        return self.path == "/oauth/token"


class OAuthServer:
    """A server that can be started and stopped repeatedly; it keeps its port."""

    def __init__(self, name: str, command: list[str], directory: Path, log_directory: Path) -> None:
        self.name = name
        self._command = command
        self._directory = directory
        self._log_file = log_directory / f"{name}.log"
        self._account = ACCOUNT
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program and wait until it accepts connections."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the program without waiting for it."""
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._directory, env=clean({}), bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self._process.stdin
        with self._process.stdin as stdin:
            stdin.write(json.dumps(asdict(self._account)).encode() + b"\n")

    def wait_until_ready(self, timeout: float = PATIENCE) -> None:
        """Wait for the line with the port and for a connection to it."""
        deadline = time.monotonic() + timeout
        self._account = replace(self._account, port=self._reported_port(timeout))
        with socket.create_connection(("127.0.0.1", self.port), max(0.1, deadline - time.monotonic())):
            pass

    def _reported_port(self, timeout: float) -> int:
        assert self._process
        assert self._process.stdout
        readable, _, _ = select.select([self._process.stdout], [], [], timeout)
        line = self._process.stdout.readline() if readable else b""
        assert line, f"{self.name} does not report its port: {self.log()}"
        return int(json.loads(line)["port"])

    def stop(self) -> None:
        """Stop the program."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()

    def log(self) -> str:
        """Return everything that the program wrote to stderr."""
        return self._log_file.read_text()

    @property
    def port(self) -> int:
        """Return the port that the server listens on."""
        return self._account.port

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """Return the monitor's settings for an environment that has the server's name."""
        prefix = f"TIGR_ENVIRONMENTS__{self.name.upper()}__"
        return {
            f"{prefix}TOKEN_URL": f"{self.url}/oauth/token",
            f"{prefix}API_URL": f"{self.url}/ClientAPI",
            f"{prefix}CLIENT_ID": ACCOUNT.client_id,
            f"{prefix}CLIENT_SECRET": ACCOUNT.client_secret,
            f"{prefix}USERNAME": ACCOUNT.username,
            f"{prefix}PASSWORD": ACCOUNT.password,
        }

    def log_in(self, form: Mapping[str, str], client_secret: str = ACCOUNT.client_secret) -> httpx.Response:
        """Send a token request with the password grant."""
        data = {**form, "grant_type": "password"}
        with _client() as client:
            return client.post(f"{self.url}/oauth/token", data=data, auth=(ACCOUNT.client_id, client_secret))

    def ping(self, token: str) -> httpx.Response:
        """Send a ping."""
        with _client() as client:
            return client.get(f"{self.url}/ClientAPI/api/system/ping", headers={"Authorization": f"Bearer {token}"})

    def change_tokens(self, change: str) -> None:
        """Revoke (`revoke`) or expire (`expire`) every token that was granted so far."""
        with _client() as client:
            client.post(f"{self.url}/test/{change}").raise_for_status()

    def wrong_passwords(self) -> int:
        """Return the number of attempts that the library's check of the password refused."""
        return int(self._read("failures")["wrong_passwords"])

    def requests(self) -> list[ReceivedRequest]:
        """Return the token requests and pings that were received since the start, oldest first."""
        return [
            ReceivedRequest(request["path"], tuple(request["fields"]), request["status"])
            for request in self._read("requests")
        ]

    def _read(self, page: str) -> Any:  # noqa: ANN401 - JSON
        with _client() as client:
            return client.get(f"{self.url}/test/{page}").raise_for_status().json()


def _client() -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=PATIENCE)


def python_server(name: str, python: Path, log_directory: Path) -> OAuthServer:
    """Return a server that runs with the Python of the installed libraries."""
    return OAuthServer(name, [str(python), "-m", f"tests.system.servers.{name}_server"], ROOT, log_directory)


def node_server(name: str, directory: Path, log_directory: Path) -> OAuthServer:
    """Return a server that runs in the directory of its packages."""
    return OAuthServer(name, ["node", f"{name}_server.mjs"], directory, log_directory)
