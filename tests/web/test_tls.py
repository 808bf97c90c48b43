"""Tests of TLS and client certificates over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
from pathlib import Path

import pytest

from monitor.web.server import WebServer
from tests.support.web import SESAME, Authority, FakePages, WebClient, basic, serving, write

USERS = f"basic_auth_users: {{alice: {SESAME}, bob: {SESAME}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"


def test_pages_are_served_over_tls(config: Path, pages: FakePages, authority: Authority) -> None:
    """A client that verifies the certificate gets the page, plain HTTP does not, and the URL has the scheme https."""
    with serving(pages, write(config, TLS)) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        assert WebClient(server, authority.file).request()[1] == b"up 1\n"
        with pytest.raises((OSError, http.client.HTTPException)):
            WebClient(server).request()


@pytest.mark.parametrize(
    "more,versions",
    [
        ("", ["TLSv1.2", "TLSv1.3"]),
        (", min_version: TLS13", ["TLSv1.3"]),
        (", max_version: TLS12", ["TLSv1.2"]),
    ],
)
def test_only_the_configured_tls_versions_are_accepted(
    config: Path, pages: FakePages, authority: Authority, more: str, versions: list[str]
) -> None:
    """The server accepts TLS 1.2 and 1.3 by default."""
    accepted = []
    with serving(pages, write(config, TLS.replace("}", f"{more}}}"))) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=authority.file)
            context.minimum_version = context.maximum_version = version
            if (agreed := handshake(server, context)) is not None:
                accepted.append(agreed[1])
    assert accepted == versions


def test_only_the_configured_cipher_suites_are_accepted(config: Path, pages: FakePages, authority: Authority) -> None:
    """The names are those of Go, for TLS 1.2, and the file selects whether server or client preference decides."""
    suites = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    text = TLS.replace("}", f", max_version: TLS12, cipher_suites: [{suites}]}}")
    context = ssl.create_default_context(cafile=authority.file)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305")
    other = ssl.create_default_context(cafile=authority.file)
    other.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    with serving(pages, write(config, text)) as server:
        assert handshake(server, context) == ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2")
        assert handshake(server, other) is None
    text = text.replace("max_version", "prefer_server_cipher_suites: false, max_version")
    with serving(pages, write(config, text)) as server:
        assert handshake(server, context) == ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2")


def handshake(server: WebServer, context: ssl.SSLContext) -> tuple[str, str] | None:
    """Return the negotiated cipher and version; None if the handshake failed."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
                cipher, version = client.cipher(), client.version()
                assert cipher is not None
                assert version is not None
                return cipher[0], version
        except ssl.SSLError:
            return None


def stall_handshakes(server: WebServer, number: int) -> list[socket.socket]:
    """Return connections of clients that send nothing or half a ClientHello."""
    stalled = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(number)]
    for client in stalled[::2]:
        client.sendall(b"\x16\x03\x01\x02\x00\x01")
    return stalled


def test_stalled_handshakes_delay_no_scrape(config: Path, pages: FakePages, authority: Authority) -> None:
    """A scrape gets its response while two hundred handshakes are open."""
    with serving(pages, write(config, TLS)) as server:
        stalled = stall_handshakes(server, 200)
        assert WebClient(server, authority.file).status() == 200
        assert select.select(stalled, [], [], 0)[0] == []  # none was dropped to make that possible
        for client in stalled:
            client.close()


def test_a_stalled_handshake_is_dropped(
    config: Path, pages: FakePages, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server closes a connection whose handshake is not complete at the time limit."""
    monkeypatch.setattr("monitor.web.connections._EXCHANGE_TIMEOUT", 0.2)
    with serving(pages, write(config, TLS)) as server:
        for client in stall_handshakes(server, 50):
            with client, contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""


def client_config(more: str = "") -> str:
    """Return a configuration that requires client certificates."""
    required = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"
    return TLS.replace("}", f", {required}{more}}}")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_can_be_required(
    config: Path, pages: FakePages, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A certificate of the client CA is accepted, in a resumed session too; a missing or another one is denied."""
    good = authority.issue("prometheus")
    (tmp_path / "other").mkdir()
    bad = Authority(tmp_path / "other", "other").issue("prometheus")

    def connecting(server: WebServer, certificate: tuple[Path, Path] | None) -> WebClient:
        client = WebClient(server, authority.file, certificate)
        assert client.context is not None
        client.context.maximum_version = version
        return client

    with serving(pages, write(config, client_config())) as server:
        assert connecting(server, good).status() == 200
        response, body = connecting(server, None).request("/-/healthy")
        assert (response.status, body) == (403, b"A client certificate is needed.\n")
        with pytest.raises((OSError, http.client.HTTPException)):
            connecting(server, bad).status()
        resuming = connecting(server, good).context
        assert resuming is not None
        assert resumed(server, resuming) == 200


def resumed(server: WebServer, context: ssl.SSLContext) -> int:
    """Return the status of a request in a resumed session."""
    session = None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            status = int(client.recv(4096).split()[1])
            session, reused = client.session, bool(client.session_reused)
    assert reused
    return status


def test_a_client_certificate_can_be_optional(
    config: Path, pages: FakePages, authority: Authority, tmp_path: Path
) -> None:
    """VerifyClientCertIfGiven accepts a client without a certificate, and denies one with a wrong certificate."""
    (tmp_path / "other").mkdir()
    bad = Authority(tmp_path / "other", "other").issue("prometheus")
    with serving(
        pages, write(config, client_config().replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"))
    ) as server:
        assert WebClient(server, authority.file).status() == 200
        assert WebClient(server, authority.file, authority.issue("prometheus")).status() == 200
        with pytest.raises((OSError, http.client.HTTPException)):
            WebClient(server, authority.file, bad).status()


@pytest.mark.parametrize(
    "san,status",
    [("prometheus.internal", 200), ("::1", 200), ("ops@example.org", 200), ("10.0.0.2", 403), ("a.b", 403), ("", 403)],
)
def test_client_certificates_can_be_restricted_to_names(
    config: Path, pages: FakePages, authority: Authority, san: str, status: int
) -> None:
    """A certificate is accepted if one of its names is equal to an allowed one."""
    allowed = ", client_allowed_sans: ['prometheus.internal', '::1', 'ops@example.org']"
    certificate = authority.issue("prometheus", *([san] if san else []))
    with serving(pages, write(config, client_config(allowed))) as server:
        assert WebClient(server, authority.file, certificate).status() == status


def test_a_certificate_and_a_password_can_both_be_required(
    config: Path, pages: FakePages, authority: Authority
) -> None:
    """A client with only one of them is denied."""
    certificate = authority.issue("prometheus")
    with serving(pages, write(config, client_config() + USERS)) as server:
        assert WebClient(server, authority.file).status(headers=basic("alice", "open sesame")) == 403
        assert WebClient(server, authority.file, certificate).status() == 401
        assert WebClient(server, authority.file, certificate).status(headers=basic("alice", "open sesame")) == 200
