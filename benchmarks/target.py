"""The server of the benchmarks: Debian's nginx with TLS 1.3, an ECDSA certificate, and a known delay."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.simulator.certificates import CertificateStore
from monitor.simulator.faults import CertificateVariant
from tests.support.process import wait_for

TOKEN = '{"access_token": "benchmark", "token_type": "bearer", "expires_in": 86400, "scope": "access"}'
PONG = '{"pong": "2026-01-01T00:00:00.000Z"}'
NGINX = "/usr/sbin/nginx"
MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_ADDRESSES = {"127.0.0.1": ["127.0.0.1"], "localhost": ["127.0.0.1", "[::1]"]}
_CONFIG = """
load_module {module};
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {certificate};
    ssl_protocols TLSv1.3;
{servers}
}}
"""
_SERVER = """
    server {{
{listens}
        location /oauth/token {{ echo_read_request_body; echo_sleep {delay:g}; echo '{token}'; }}
        location / {{ echo_sleep {delay:g}; echo '{pong}'; }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Port:
    """One port of the server; the capture identifies client and endpoint by the port."""

    number: int
    delay: float  # seconds until the response
    host: str

    @property
    def token_url(self) -> str:
        """Return the URL of the token endpoint."""
        return f"https://{self.host}:{self.number}/oauth/token"

    @property
    def api_url(self) -> str:
        """Return the base URL of the API."""
        return f"https://{self.host}:{self.number}"


@dataclass(frozen=True, slots=True)
class Target:
    """The running server."""

    ports: tuple[Port, ...]
    ca_file: Path
    version: str


@contextmanager
def serving(delays: Sequence[float], directory: Path, host: str = "127.0.0.1") -> Iterator[Target]:
    """Serve on one port per delay, in seconds.

    For comparisons with the capture, `host` must be an address: the capture does not contain the time of a lookup.
    Raises RuntimeError if nginx does not start.
    """
    certificates = CertificateStore(directory)
    ports = tuple(Port(number, delay, host) for number, delay in zip(_free_ports(len(delays)), delays, strict=True))
    servers = "".join(
        _SERVER.format(
            listens="\n".join(
                f"        listen {address}:{port.number} ssl backlog=4096;"
                for port in ports
                if port.delay == delay
                for address in _ADDRESSES[host]
            ),
            delay=delay,
            token=TOKEN,
            pong=PONG,
        )
        for delay in sorted(set(delays))
    )
    certificate = directory / f"{CertificateVariant.GOOD}.pem"
    config = directory / "nginx.conf"
    config.write_text(
        _CONFIG.format(module=MODULE, directory=directory, certificate=certificate, servers=servers), encoding="utf-8"
    )
    version = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr.split("/")[-1].strip()
    log_file = directory / "nginx.stderr"
    with log_file.open("wb") as output:
        process = subprocess.Popen([NGINX, "-p", str(directory), "-c", str(config)], stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or _listens(ports[0].number), "nginx listens")
        if process.poll() is not None:
            raise RuntimeError(f"nginx failed to start: {log_file.read_text().strip()}")
        yield Target(ports, certificates.ca_file, version)
    finally:
        process.terminate()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Return `count` different free ports of 127.0.0.1."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in sockets]


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0
