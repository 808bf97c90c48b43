"""The health command's question, and what it makes of the answers."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from monitor.commands import health as health_module
from monitor.commands.health import health
from monitor.errors import ConfigError
from monitor.web import access as access_module
from monitor.web.access import local_access
from monitor.web.server import WebServer
from tests.support.web import SESAME, Authority, FakePages, WebClient, serving, settle, write

USERS = f"basic_auth_users: {{alice: {SESAME}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
CLIENTS = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where the web configuration is; a certificate is beside it."""
    settle(*Authority(tmp_path).issue("server", "monitor.internal"))
    return tmp_path / "web.yml"


def ask(server: WebServer, config: Path | None) -> tuple[bool, str]:
    """What the command does."""
    access = local_access(config)
    return health("127.0.0.1", server.port, tls=access.tls, authorization=access.authorization)


@pytest.mark.parametrize("text", [None, "{}", USERS, TLS, TLS + USERS, CLIENTS, CLIENTS + USERS])
def test_it_works_whatever_protects_the_pages(config: Path, text: str | None) -> None:
    """Without being given a password or a certificate, which a container's health check has not."""
    path = None if text is None else write(config, text)
    pages = FakePages()
    with serving(pages, path) as server:
        assert ask(server, path) == (True, "Healthy")
        pages.stalled_jobs = ["prod: no ping for 5 min"]
        assert ask(server, path) == (False, "prod: no ping for 5 min")


def test_a_proof_opens_that_page_alone(config: Path) -> None:
    """It is no way around the password."""
    write(config, TLS + USERS)
    with serving(FakePages(), config) as server:
        sent = {"Authorization": str(local_access(config).authorization)}
        client = WebClient(server, config.parent / "ca.pem")
        assert client.context is not None
        client.context.check_hostname = False
        assert client.status("/-/healthy", sent) == 200
        assert [client.status(path, sent) for path in ("/", "/metrics", "/-/ready", "/-/healthy/")] == [401] * 4


@pytest.mark.parametrize("spoil", ["soon", "later", "1" * 30, "", "٣"])
def test_a_proof_is_for_a_moment(config: Path, spoil: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old one, one for another moment, and what is none, are refused."""
    with serving(FakePages(), write(config, USERS)) as server:
        if spoil == "later":
            monkeypatch.setattr(access_module, "_MAX_PROOF_AGE", 0)
            assert not ask(server, config)[0]
        else:
            proof = str(local_access(config).authorization).rpartition(":")[2]
            told = health(
                "127.0.0.1",
                server.port,
                tls=False,
                authorization=f"TIGR-Health {spoil.encode().decode('latin-1')}:{proof}",
            )
            assert not told[0]


def test_a_proof_from_another_configuration_is_refused(config: Path, tmp_path: Path) -> None:
    """Only who can read the daemon's own can make one; and a refusal is told as such, not as health."""
    other = write(tmp_path / "other.yml", USERS.replace("alice", "bob"))
    with serving(FakePages(), write(config, USERS)) as server:
        assert ask(server, other) == (
            False,
            (
                f"127.0.0.1 port {server.port} does not say whether it is healthy, "
                "but 401: A name and a password are needed."
            ),
        )


def test_a_proof_takes_the_servers_key(config: Path, tmp_path: Path) -> None:
    """A file that names no password holds no secret; the key beside it does."""
    (tmp_path / "copy").mkdir()
    settle(*Authority(tmp_path / "copy").issue("server", "monitor.internal"))
    copy = write(tmp_path / "copy" / "web.yml", CLIENTS)
    with serving(FakePages(), write(config, CLIENTS)) as server:
        ok, told = ask(server, copy)
    assert not ok
    assert "403: A client certificate is needed." in told


def test_a_configuration_that_cannot_be_used_is_told(config: Path) -> None:
    """As by every other command."""
    with pytest.raises(ConfigError, match="there is no such key"):
        local_access(write(config, "a: b"))


def test_plain_http_to_a_tls_port_is_told(config: Path) -> None:
    """And the other way round: nobody is called healthy."""
    with serving(FakePages(), write(config, TLS)) as server:
        ok, told = health("127.0.0.1", server.port, tls=False)
    assert (ok, told[: told.index(":")]) == (False, f"no answer from 127.0.0.1 port {server.port}")
    with serving(FakePages()) as server:
        ok, told = health("127.0.0.1", server.port, tls=True)
    assert (ok, told[: told.index(":")]) == (False, f"no answer from 127.0.0.1 port {server.port}")


def test_nobody_listens() -> None:
    """Is told as the system tells it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert health("", port, tls=False) == (
            False,
            f"no answer from 127.0.0.1 port {port}: [Errno 111] Connection refused",
        )


def test_a_daemon_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After three seconds; here, after less."""
    monkeypatch.setattr(health_module, "_LIMIT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert health("127.0.0.1", port, tls=False) == (False, f"no answer from 127.0.0.1 port {port} within 0 s")


def test_what_is_no_http_is_told() -> None:
    """Another program may have the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            client, _ = other.accept()
            with client:
                client.recv(1024)
                client.sendall(b"220 smtp\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        ok, told = health("127.0.0.1", other.getsockname()[1], tls=False)
        thread.join(10)
    assert not ok
    assert "220 smtp" in told
