"""Tests of access control over real sockets: headers, changes of the configuration, and the warning."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from monitor.web import access as access_module
from monitor.web.access import AccessControl, exposure_warning
from monitor.web.server import WebServer
from tests.support.web import SESAME, Authority, FakePages, WebClient, basic, serving, settle, write

USERS = f"basic_auth_users: {{alice: {SESAME}, bob: {SESAME}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


def test_headers_are_added_replaced_and_removed(config: Path, pages: FakePages) -> None:
    """The configured headers are in every response."""
    section = "X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=60, Content-Security-Policy: ''"
    with serving(pages, write(config, f"http_server_config: {{headers: {{{section}}}}}")) as server:
        for path in ("/", "/nothing"):
            headers = WebClient(server).request(path)[0].headers
            assert headers.get_all("x-frame-options") == ["sameorigin"]
            assert headers["strict-transport-security"] == "max-age=60"
            assert headers["content-security-policy"] is None
            assert headers["x-content-type-options"] == "nosniff"


def test_a_changed_configuration_takes_effect_at_once(
    config: Path, pages: FakePages, caplog: pytest.LogCaptureFixture
) -> None:
    """Changed users and headers take effect without a restart or a signal."""
    caplog.set_level(logging.INFO, "monitor.web.access")
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status() == 401
        write(config, "http_server_config: {headers: {X-XSS-Protection: '0'}}")
        response, _ = WebClient(server).request()
        assert (response.status, response.headers["x-xss-protection"]) == (200, "0")
    assert caplog.messages == ["reloaded the web configuration: no TLS, no passwords"]


def test_a_changed_password_takes_effect_at_once(config: Path, pages: FakePages) -> None:
    """The kept digest of the old password is not accepted any more."""
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        write(config, USERS.replace(SESAME, bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()))
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 401
        assert WebClient(server).status(headers=basic("alice", "new")) == 200


def replace_certificate(directory: Path) -> Authority:
    """Replace the server's certificate; return the authority that issued the new one."""
    (directory / "new").mkdir()
    renewed = Authority(directory / "new", "ca2")
    for new, old in zip(renewed.issue("server", "127.0.0.1"), ("server.crt", "server.key"), strict=True):
        shutil.copy(new, directory / old)
        settle(directory / old)
    return renewed


def test_the_next_response_after_a_certificate_change_announces_the_close(
    config: Path, pages: FakePages, authority: Authority, tmp_path: Path
) -> None:
    """RFC 9112 section 9.6: a kept connection is closed after a response with `Connection: close`, not before."""
    with serving(pages, write(config, TLS)) as server, connected(server, authority) as kept:
        for _ in range(2):
            kept.sendall(REQUEST)
            assert announces_close(read_response(kept)) is False
        renewed = replace_certificate(tmp_path)
        kept.sendall(REQUEST)
        assert announces_close(read_response(kept)) is True
        assert kept.recv(1) == b""
        assert WebClient(server, renewed.file).status() == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            WebClient(server, authority.file).status()


def test_a_certificate_change_during_a_response_loses_no_request(
    config: Path, pages: FakePages, authority: Authority, tmp_path: Path
) -> None:
    """A response whose header section was sent before the change keeps the connection; the next one closes it."""
    pages.body = b"x" * 30_000_000  # more than the buffers between server and client hold
    with serving(pages, write(config, TLS)) as server, connected(server, authority) as kept:
        kept.sendall(REQUEST)
        first = read_response(kept, until_body=True)
        assert not announces_close(first)
        replace_certificate(tmp_path)
        body = len(first.partition(b"\r\n\r\n")[2])
        while body < len(pages.body):
            received = kept.recv(1_000_000)
            assert received
            body += len(received)
        pages.body = b"up 1\n"
        kept.sendall(REQUEST)
        assert announces_close(read_response(kept))
        assert kept.recv(1) == b""


def test_a_password_change_announces_the_close_of_a_kept_connection(config: Path, pages: FakePages) -> None:
    """Every change of the policy ends the connections that began before it."""
    with (
        serving(pages, write(config, USERS)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as kept,
    ):
        kept.sendall(REQUEST)
        assert not announces_close(read_response(kept))
        write(config, "{}")
        kept.sendall(REQUEST)
        assert announces_close(read_response(kept))
        assert kept.recv(1) == b""


@contextlib.contextmanager
def connected(server: WebServer, authority: Authority) -> Iterator[ssl.SSLSocket]:
    """Yield a TLS connection to the server."""
    context = ssl.create_default_context(cafile=authority.file)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        yield client


def read_response(client: socket.socket, *, until_body: bool = False) -> bytes:
    """Return the next response, or its beginning up to the first bytes of the body."""
    received = b""
    while not (header_section := received.partition(b"\r\n\r\n"))[1]:
        received += (more := client.recv(65536))
        assert more, "the server closed the connection before the response"
    length = int(header_section[0].lower().partition(b"content-length: ")[2].split()[0])
    while not until_body and len(received) < len(header_section[0]) + 4 + length:
        received += (more := client.recv(65536))
        assert more, "the server closed the connection during the response"
    return received


def announces_close(response: bytes) -> bool:
    """Return whether the response has the field `Connection: close`."""
    return b"\r\nconnection: close\r\n" in response.lower()


def test_an_invalid_configuration_changes_nothing_and_is_logged_once(
    config: Path, pages: FakePages, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The previous configuration stays in force until there is a valid one."""
    caplog.set_level(logging.INFO, "monitor.web.access")
    monkeypatch.setattr(access_module, "_RETRY_INTERVAL", 0.0)
    with serving(pages, write(config, USERS)) as server:
        for text in ("", "basic_auth_users: {alice: hunter2}"):
            write(config, text)
            for _ in range(3):
                assert WebClient(server).status() == 401
                assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        config.unlink()
        assert WebClient(server).status() == 401
        write(config, "{}")
        assert WebClient(server).status() == 200
    messages = [record.getMessage() for record in caplog.records]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "WARNING", "INFO"]
    assert all(text.startswith("cannot reload the web configuration, the previous") for text in messages[:3])
    assert "has lost its content" in messages[0]
    assert "basic_auth_users.alice: must be a bcrypt hash" in messages[1]
    assert "No such file" in messages[2]
    assert "hunter2" not in caplog.text


def test_a_missing_file_of_a_new_configuration_is_retried(
    config: Path,
    pages: FakePages,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The configuration takes effect when the file appears, without another change of the configuration."""
    monkeypatch.setattr(access_module, "_RETRY_INTERVAL", 0.0)
    with serving(pages, write(config, "{}")) as server:
        write(config, TLS.replace("server.", "late."))
        assert WebClient(server).status() == 200
        authority.issue("late", "127.0.0.1")
        assert WebClient(server, authority.file).status() == 200
    assert len(caplog.records) == 1


def test_a_file_is_not_read_while_it_is_written(
    config: Path, pages: FakePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is read some time after its last change, because half of it may lack the passwords."""
    monkeypatch.setattr(access_module, "_MIN_FILE_AGE", 30.0)
    with serving(pages, write(config, USERS)) as server:
        config.write_text("{}")
        assert WebClient(server).status() == 401
        settle(config)
        assert WebClient(server).status() == 200


def test_unprotected_pages_beyond_loopback_are_warned_of(config: Path, tmp_path: Path, authority: Authority) -> None:
    """The warning covers pages without protection, and passwords without TLS."""
    bare, with_users = (AccessControl(write(tmp_path / f"{n}.yml", text)) for n, text in enumerate(("{}", USERS)))
    with_tls = AccessControl(write(config, TLS))
    for host in ("127.0.0.1", "::1", "localhost"):
        assert exposure_warning(host, None) is None
    for host, named in (
        ("", "all addresses"),
        ("192.0.2.1", "192.0.2.1"),
        ("::", "::"),
        ("monitor.internal", "monitor"),
    ):
        assert f"served on {named}" in str(exposure_warning(host, None))
    assert "TIGR_WEB_CONFIG_FILE" in str(exposure_warning("", None))
    assert "without TLS and without a password" in str(exposure_warning("", bare))
    assert "passwords but without TLS" in str(exposure_warning("", with_users))
    assert exposure_warning("", with_tls) is None
