"""The health command: its request, and its result for each response."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from monitor.commands import health as health_module
from monitor.commands.health import health
from monitor.errors import ConfigError
from monitor.web import access
from monitor.web.access import local_access
from monitor.web.server import WebServer
from tests.support.web import SESAME, Authority, FakePages, WebClient, serving, settle, write

USERS = f"basic_auth_users: {{alice: {SESAME}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
CLIENTS = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command wait longer, because a busy machine may take its usual seconds."""
    monkeypatch.setattr(health_module, "_TIMEOUT", 60.0)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the path of the web configuration, with a certificate in the same directory."""
    settle(*Authority(tmp_path).issue("server", "monitor.internal"))
    return tmp_path / "web.yml"


def run_health(server: WebServer, config: Path | None) -> tuple[bool, str]:
    """Run the command against the server."""
    local = local_access(config)
    return health("127.0.0.1", server.port, tls=local.tls, authorization=local.authorization)


@pytest.mark.parametrize("text", [None, "{}", USERS, TLS, TLS + USERS, CLIENTS, CLIENTS + USERS])
def test_it_works_with_every_access_control(config: Path, text: str | None) -> None:
    """The command needs no password and no client certificate, because a container's health check has none."""
    path = None if text is None else write(config, text)
    pages = FakePages()
    with serving(pages, path) as server:
        assert run_health(server, path) == (True, "Healthy")
        pages.stalled_jobs = ["prod: no ping for 5 min"]
        assert run_health(server, path) == (False, "prod: no ping for 5 min")


def test_a_proof_is_valid_for_the_health_page_alone(config: Path) -> None:
    """Every other page responds with 401."""
    write(config, TLS + USERS)
    with serving(FakePages(), config) as server:
        sent = {"Authorization": str(local_access(config).authorization)}
        client = WebClient(server, config.parent / "ca.pem")
        assert client.context is not None
        client.context.check_hostname = False
        assert client.status("/-/healthy", sent) == 200
        assert [client.status(path, sent) for path in ("/", "/metrics", "/-/ready", "/-/healthy/")] == [401] * 4


@pytest.mark.parametrize("spoil", ["soon", "later", "1" * 30, "", "٣"])
def test_an_expired_or_malformed_proof_is_refused(config: Path, spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that is too old, or whose time is changed or malformed, is refused."""
    with serving(FakePages(), write(config, USERS)) as server:
        if spoil == "later":
            monkeypatch.setattr(access, "_MAX_PROOF_AGE", 0)
            assert not run_health(server, config)[0]
        else:
            proof = str(local_access(config).authorization).rpartition(":")[2]
            healthy, _ = health(
                "127.0.0.1",
                server.port,
                tls=False,
                authorization=f"TIGR-Health {spoil.encode().decode('latin-1')}:{proof}",
            )
            assert not healthy


def test_a_proof_from_another_configuration_is_refused(config: Path, tmp_path: Path) -> None:
    """A valid proof requires the daemon's configuration; the denial is reported as such, not as health."""
    other = write(tmp_path / "other.yml", USERS.replace("alice", "bob"))
    with serving(FakePages(), write(config, USERS)) as server:
        assert run_health(server, other) == (
            False,
            (f"127.0.0.1 port {server.port} does not report its health: status 401: A name and a password are needed."),
        )


def test_a_proof_requires_the_key_of_the_server(config: Path, tmp_path: Path) -> None:
    """If the configuration contains no password, the proof depends on the private key."""
    (tmp_path / "copy").mkdir()
    settle(*Authority(tmp_path / "copy").issue("server", "monitor.internal"))
    copy = write(tmp_path / "copy" / "web.yml", CLIENTS)
    with serving(FakePages(), write(config, CLIENTS)) as server:
        healthy, text = run_health(server, copy)
    assert not healthy
    assert "403: A client certificate is needed." in text


def test_an_invalid_web_configuration_is_an_error(config: Path) -> None:
    """An invalid web configuration raises `ConfigError`."""
    with pytest.raises(ConfigError, match="there is no such key"):
        local_access(write(config, "a: b"))


def test_a_mismatch_of_http_and_tls_is_a_failure(config: Path) -> None:
    """Plain http to a TLS port, and TLS to a port with plain http, are reported as no response."""
    with serving(FakePages(), write(config, TLS)) as server:
        healthy, text = health("127.0.0.1", server.port, tls=False)
    assert (healthy, text[: text.index(":")]) == (False, f"no response from 127.0.0.1 port {server.port}")
    with serving(FakePages()) as server:
        healthy, text = health("127.0.0.1", server.port, tls=True)
    assert (healthy, text[: text.index(":")]) == (False, f"no response from 127.0.0.1 port {server.port}")


def test_a_port_without_a_listener_is_a_failure() -> None:
    """A refused connection is reported with the text of the system error."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert health("", port, tls=False) == (
            False,
            f"no response from 127.0.0.1 port {port}: [Errno 111] Connection refused",
        )


def test_a_daemon_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that does not respond within the timeout is reported as unhealthy."""
    monkeypatch.setattr(health_module, "_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert health("127.0.0.1", port, tls=False) == (False, f"no response from 127.0.0.1 port {port} within 0 s")


def test_a_response_in_another_protocol_is_a_failure() -> None:
    """A response that is not HTTP is reported with its first line, because another program may use the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def respond() -> None:
            client, _ = other.accept()
            with client:
                client.recv(1024)
                client.sendall(b"220 smtp\r\n")

        thread = threading.Thread(target=respond)
        thread.start()
        healthy, text = health("127.0.0.1", other.getsockname()[1], tls=False)
        thread.join(60)
    assert not healthy
    assert "220 smtp" in text
