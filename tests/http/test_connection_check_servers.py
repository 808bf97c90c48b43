"""Real servers log nothing and raise no event for a connection check, but do for a bare connection."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.http.client import HttpClient
from monitor.http.tls import verifying_context
from monitor.simulator.certificates import CertificateStore
from tests.support.process import PATIENCE, clean, free_port, wait_for

CHECKS = 5  # of each TLS version

_NODE = """
const https = require('https'), fs = require('fs'), [pem, port] = process.argv.slice(1);
const server = https.createServer({key: fs.readFileSync(pem), cert: fs.readFileSync(pem)});
server.on('request', () => console.log('request'));
for (const event of ['tlsClientError', 'clientError'])
  server.on(event, (error, socket) => { console.log(event, error.code); socket.destroy(); });
server.on('secureConnection', (socket) => {
  socket.on('error', (error) => console.log('socket error', error.code));
  socket.on('close', (failed) => console.log(failed ? 'failed' : 'closed'));
});
server.listen(Number(port), '127.0.0.1');
"""

_NGINX = """
daemon off; master_process off; pid {directory}/pid; error_log {directory}/log info;
events {{}}
http {{
  access_log {directory}/log;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {pem}; ssl_certificate_key {pem};
  }}
}}
"""

# asyncio logs a failed handshake only in its debug mode. The ciphers that uvicorn 0.34 sets by default have none for
# TLS 1.2 with an ECDSA certificate.
_UVICORN = """
import asyncio, logging, sys, uvicorn
logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
async def app(scope, receive, send): print("request", file=sys.stderr)
pem, port = sys.argv[1:]
config = uvicorn.Config(
    app, port=int(port), ssl_certfile=pem, ssl_keyfile=pem, ssl_ciphers="DEFAULT", log_level="trace", log_config=None,
    lifespan="off",
)
asyncio.run(uvicorn.Server(config).serve(), debug=True)
"""


@dataclass(frozen=True, slots=True)
class LoggingServer:
    """A running server: its port, its log, and patterns for the lines of the log."""

    port: int
    log: Path
    closed: str  # one line for each connection that ended in order, at a level that is off by default
    harmless: str  # all other lines that may be there
    complaint: str  # a line for a connection without a handshake

    def lines(self, pattern: str) -> list[str]:
        """Return the lines of the log in which `pattern` is found."""
        return [line for line in self.log.read_text().splitlines() if re.search(pattern, line)]

    def unexpected(self) -> list[str]:
        """Return the lines of the log that a connection in order does not explain."""
        return self.lines(f"^(?!.*(?:{self.closed}|{self.harmless}))")


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=clean({}))
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _node(pem: Path, directory: Path) -> Iterator[LoggingServer]:
    server = LoggingServer(free_port(), directory / "log", "^closed$", "^$", "^tlsClientError ECONNRESET$")
    with _running(["node", "-e", _NODE, str(pem), str(server.port)], server.log):
        yield server


@contextlib.contextmanager
def _nginx(pem: Path, directory: Path) -> Iterator[LoggingServer]:
    closed = r" \[info\] .* client closed connection while waiting for request"
    server = LoggingServer(free_port(), directory / "log", closed, r" \[notice\] ", " while SSL handshaking")
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(directory=directory, port=server.port, pem=pem))
    command = ["nginx", "-p", str(directory), "-c", str(configuration), "-e", str(server.log)]
    with _running(command, server.log):
        yield server


@contextlib.contextmanager
def _uvicorn(pem: Path, directory: Path) -> Iterator[LoggingServer]:
    harmless = (  # of the debug mode; "Executing" is a warning about a busy machine
        "^(INFO|TRACE) |^DEBUG asyncio .*(new connection|starts SSL handshake|handshake took|selector|received EOF)"
        "|^WARNING asyncio Executing "
    )
    complaint = "^ERROR asyncio Error on transport creation"
    server = LoggingServer(free_port(), directory / "log", "HTTP connection lost", harmless, complaint)
    command = [sys.executable, "-c", _UVICORN, str(pem), str(server.port)]
    with _running(command, server.log):
        yield server


@pytest.fixture(
    params=[
        pytest.param(_node, marks=[pytest.mark.system, pytest.mark.needs("node")]),
        pytest.param(_nginx, marks=[pytest.mark.system, pytest.mark.needs("nginx")]),
        _uvicorn,
    ]
)
def server(request: pytest.FixtureRequest, certificates: CertificateStore, tmp_path: Path) -> Iterator[LoggingServer]:
    """Provide a running server, which has seen no connection."""
    pem = certificates.ca_file.with_name("good.pem")  # key and certificate
    start: Callable[[Path, Path], contextlib.AbstractContextManager[LoggingServer]] = request.param
    with start(pem, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    """Provide certificates for the servers."""
    return CertificateStore(tmp_path_factory.mktemp("certificates"))


def _client(certificates: CertificateStore, version: ssl.TLSVersion) -> HttpClient:
    context = verifying_context(certificates.ca_file)
    context.maximum_version = version
    return HttpClient(context)


def _connect_and_leave(port: int, *, reset: bool) -> None:
    with socket.create_connection(("127.0.0.1", port)) as plain:
        if reset:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("reset", [False, True])
def test_a_server_notices_a_bare_connection_and_no_check(
    server: LoggingServer, certificates: CertificateStore, *, reset: bool
) -> None:
    """Checks in TLS 1.2 and 1.3 leave no line, and one bare connection afterwards leaves the complaint."""
    clients = [_client(certificates, version) for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
    url = f"https://localhost:{server.port}"
    wait_for(lambda: clients[0].check_connection(url, None, PATIENCE).fault is None, "the server accepts connections")
    for client in clients * CHECKS:
        assert client.check_connection(url, None, PATIENCE).fault is None
    expected = 1 + CHECKS * len(clients)
    wait_for(lambda: server.unexpected() or len(server.lines(server.closed)) == expected, "each connection is closed")
    assert server.unexpected() == []
    assert server.lines("request$") == []
    _connect_and_leave(server.port, reset=reset)
    wait_for(lambda: server.lines(server.complaint), "the server notices the bare connection")
    assert server.unexpected()
