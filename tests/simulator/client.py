"""A plain client of the simulator, on `http.client` and `ssl`, which uses no code of the monitor."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.simulator import Host, SimulatedCredentials, SimulatedEnvironment

PING = "/api/system/ping"


@dataclass(frozen=True)
class ClientResponse:
    """A received response."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON has any type
        """Return the body, decoded as JSON."""
        return json.loads(self.body)


class SimulatorClient:
    """A client of one environment, which opens a new connection for each request."""

    def __init__(
        self, environment: SimulatedEnvironment, ca_file: Path | None = None, *, timeout: float = 30.0
    ) -> None:
        self.environment = environment
        self.timeout = timeout
        self.tls = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def login(
        self,
        credentials: SimulatedCredentials | None = None,
        *,
        form: str | None = None,
        field_names: tuple[str, str] = ("Username", "Password"),
        headers: Mapping[str, str] | None = None,
        method: str = "POST",
        path: str | None = None,
    ) -> ClientResponse:
        """Send a token request as the vendor's page documents it, or with changes."""
        login = credentials or self.environment.credentials
        if form is None:
            fields = dict(zip(field_names, (login.username, login.password), strict=True))
            form = urllib.parse.urlencode(fields | {"grant_type": "password"})
        basic = base64.b64encode(f"{login.client_id}:{login.client_secret}".encode()).decode()
        sent = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
        sent |= headers or {}
        return self._exchange(Host.TOKEN, method, path, form, {k: v for k, v in sent.items() if v})

    def token(self) -> str:
        """Log in and return the token."""
        return str(self.login().json["access_token"])

    def ping(self, token: str | None = None, *, method: str = "GET", path: str | None = None) -> ClientResponse:
        """Ping with this token, or without one."""
        return self._exchange(Host.API, method, path, None, {"Authorization": f"Bearer {token}"} if token else {})

    def connect(self, host: Host) -> socket.socket:
        """Return a new connection, over TLS if the simulator uses it."""
        url = self._url(host)
        plain = socket.create_connection((url.hostname or "", url.port or 0), self.timeout)
        if self.tls is None:
            return plain
        try:
            return self.tls.wrap_socket(plain, server_hostname=url.hostname)
        except OSError:
            plain.close()
            raise

    def raw(self, host: Host, request: bytes | None = None) -> bytes:
        """Send these bytes, by default a ping, and return all bytes until the end of the connection."""
        received = b""
        with self.connect(host) as sock:
            sock.sendall(request or f"GET {self._url(host).path}{PING} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            while data := sock.recv(65536):
                received += data
        return received

    def _exchange(
        self, host: Host, method: str, path: str | None, body: str | None, headers: Mapping[str, str]
    ) -> ClientResponse:
        url = self._url(host)
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=self.timeout)
        connection.sock = self.connect(host)
        try:
            usual = url.path if host is Host.TOKEN else url.path + PING
            connection.request(method, usual if path is None else path, body, dict(headers))
            response = connection.getresponse()
            return ClientResponse(response.status, response.reason, dict(response.headers), response.read())
        finally:
            connection.close()

    def _url(self, host: Host) -> urllib.parse.SplitResult:
        environment = self.environment
        return urllib.parse.urlsplit(environment.token_url if host is Host.TOKEN else environment.api_url)
