"""Tests of access control over real sockets: TLS, client certificates and passwords."""

from __future__ import annotations

import contextlib
import http.client
import logging
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import bcrypt
import pytest

from monitor.web import access as access_module
from monitor.web import passwords
from monitor.web.access import AccessControl, exposure_warning
from monitor.web.server import WebServer
from tests.support.checkout import ROOT
from tests.support.process import wait_for
from tests.support.web import SESAME, SLOW_SESAME, Authority, FakePages, WebClient, basic, serving, settle, write

USERS = f"basic_auth_users: {{alice: {SESAME}, bob: {SESAME}}}\n"
SLOW_USERS = f"basic_auth_users: {{alice: {SLOW_SESAME}}}\n"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
EVERY_PATH = ("/", "/metrics", "/-/healthy", "/-/ready", "/nothing")


@pytest.fixture
def pages() -> FakePages:
    """Return pages without a fault."""
    return FakePages()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return the authority that issued the server's certificate."""
    authority = Authority(tmp_path)
    settle(*authority.issue("server", "127.0.0.1", "localhost"))
    return authority


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the path of the web configuration."""
    return tmp_path / "web.yml"


@pytest.fixture
def with_passwords(config: Path, pages: FakePages) -> Iterator[WebServer]:
    """Yield a server with a password whose check takes a measurable time."""
    with serving(pages, write(config, SLOW_USERS)) as server:
        yield server


# Passwords


@pytest.mark.parametrize("path", EVERY_PATH)
def test_every_path_requires_the_password(config: Path, pages: FakePages, path: str) -> None:
    """The health pages require it too, as in Prometheus, and the challenge makes a browser prompt for it."""
    with serving(pages, write(config, USERS)) as server:
        response, body = WebClient(server).request(path)
        assert (response.status, body) == (401, b"A name and a password are needed.\n")
        assert response.headers["www-authenticate"] == 'Basic realm="tigr-monitor", charset="UTF-8"'
        assert response.headers["x-content-type-options"] == "nosniff"
        assert WebClient(server).status(path, basic("alice", "open sesame")) == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize(
    "headers",
    [
        basic("alice", "open sesam"),
        basic("alice", "open sesame2"),
        basic("alice", ""),
        basic("alice", b"\0open sesame"),
        basic("alice", "x" * 200),
        basic("Alice", "open sesame"),
        basic("carol", "open sesame"),
        basic("", "open sesame"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic YWxpY2U="},
        {"Authorization": "Basic /zo6"},
        {"Authorization": "Bearer b3BlbiBzZXNhbWU="},
        {"Authorization": basic("alice", "open sesame")["Authorization"][6:]},
    ],
)
def test_everything_but_the_password_is_denied(config: Path, pages: FakePages, headers: dict[str, str]) -> None:
    """A wrong or missing password, an unknown user and a malformed header get 401."""
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        assert WebClient(server).status(headers=headers) == 401


def test_the_scheme_is_case_insensitive(config: Path, pages: FakePages) -> None:
    """The server accepts `bASIC` for `Basic` (RFC 9110 section 11.1)."""
    with serving(pages, write(config, USERS)) as server:
        sent = {"Authorization": basic("bob", "open sesame")["Authorization"].replace("Basic", "bASIC")}
        assert WebClient(server).status(headers=sent) == 200


def test_only_the_first_72_bytes_of_a_password_count(config: Path, pages: FakePages) -> None:
    """Bcrypt ignores the rest, and so does every exporter that reads this file."""
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    with serving(pages, write(config, f"basic_auth_users: {{alice: {hashed}}}")) as server:
        assert WebClient(server).status(headers=basic("alice", "x" * 80)) == 200
        assert WebClient(server).status(headers=basic("alice", "x" * 71)) == 401


def test_a_hash_that_bcrypt_rejects_allows_no_password(config: Path, pages: FakePages) -> None:
    """A hash of the right form can have last characters that no program generates."""
    with serving(pages, write(config, f"basic_auth_users: {{alice: $2b$04${'9' * 53}}}")) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 401


def test_a_right_password_is_checked_once(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later requests with the same password do not run bcrypt."""
    assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: pytest.fail("checked again"))
    for _ in range(3):
        assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200


def test_no_password_is_kept(config: Path, pages: FakePages) -> None:
    """The server keeps a keyed digest, and the `repr` of an attempt has neither name nor password."""
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        assert server._access is not None
        kept = server._access._passwords._right
    assert list(kept) == ["alice"]
    assert b"sesame" not in kept["alice"]
    attempt = passwords.PasswordAttempt("alice", b"open sesame", "127.0.0.1")
    assert repr(attempt) == "PasswordAttempt(address='127.0.0.1')"


def test_an_unknown_name_is_checked_at_the_same_cost_as_a_known_one(
    with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bcrypt check with an equal hash runs for either, so that the response time reveals no name."""
    real = bcrypt.checkpw
    hashes: list[bytes] = []

    def recorded(password: bytes, hashed: bytes) -> bool:
        hashes.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", recorded)
    for name in ("alice", "carol"):
        assert WebClient(with_passwords).status(headers=basic(name, "wrong")) == 401
    assert hashes == [SLOW_SESAME.encode()] * 2


def test_unknown_names_are_checked_against_the_hashes_of_known_ones() -> None:
    """An unknown name always gets the same hash, and unknown names together use hashes of every cost."""
    checker = passwords.Passwords()
    hashes = {"alice": SESAME.encode(), "bob": SLOW_SESAME.encode()}
    names = [f"unknown {number}" for number in range(50)]
    chosen = [checker._stand_in(name, hashes) for name in names]
    assert set(chosen) == set(hashes.values())
    assert chosen == [checker._stand_in(name, hashes) for name in names]


def test_checks_run_one_at_a_time(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simultaneous wrong passwords occupy one processor."""
    real = bcrypt.checkpw
    active: list[bytes] = []
    seen: list[int] = []

    def watched(password: bytes, hashed: bytes) -> bool:
        active.append(password)
        seen.append(len(active))
        is_right = real(password, hashed)
        active.remove(password)
        return is_right

    monkeypatch.setattr(bcrypt, "checkpw", watched)
    guesses = [
        threading.Thread(target=WebClient(with_passwords).status, kwargs={"headers": basic("alice", str(number))})
        for number in range(5)
    ]
    for guess in guesses:
        guess.start()
    for guess in guesses:
        guess.join(20)
    assert seen == [1] * 5


@pytest.fixture
def held_checks(monkeypatch: pytest.MonkeyPatch) -> HeldChecks:
    """Replace bcrypt by checks that wait for the test."""
    held = HeldChecks()
    monkeypatch.setattr(bcrypt, "checkpw", held.check)
    check = passwords.Passwords.check

    async def counted(
        self: passwords.Passwords, attempt: passwords.PasswordAttempt, hashes: Mapping[str, bytes]
    ) -> passwords.PasswordVerdict:
        held.attempts.append(attempt)
        return await check(self, attempt, hashes)

    monkeypatch.setattr(passwords.Passwords, "check", counted)
    return held


class HeldChecks:
    """Checks that wait until the test releases them, and the list of attempts."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.attempts: list[passwords.PasswordAttempt] = []
        self.checked: list[bytes] = []
        self._bcrypt = bcrypt.checkpw

    def check(self, password: bytes, hashed: bytes) -> bool:
        """Wait for the release, then check."""
        assert self.released.wait(20)
        self.checked.append(password)
        return self._bcrypt(password, hashed)

    def release(self, number: int) -> None:
        """Release all checks when there are `number` attempts."""
        wait_for(lambda: len(self.attempts) == number, f"{number} attempts")
        self.released.set()


def test_wrong_passwords_in_parallel_delay_no_authorised_scrape(
    with_passwords: WebServer, held_checks: HeldChecks
) -> None:
    """A client whose password was checked before gets its responses while eight other checks are pending."""
    scraper, right = WebClient(with_passwords), basic("alice", "open sesame")
    held_checks.released.set()
    assert scraper.status(headers=right) == 200
    held_checks.released.clear()
    statuses: list[int] = []
    guesses = [
        threading.Thread(
            target=lambda n=number: statuses.append(WebClient(with_passwords).status(headers=basic(f"u{n}", "wrong")))
        )
        for number in range(8)
    ]
    for guess in guesses:
        guess.start()
    wait_for(lambda: len(held_checks.attempts) == 9, "eight pending attempts")
    assert [scraper.status(headers=right) for _ in range(3)] == [200] * 3
    assert statuses == []  # all eight are still pending
    held_checks.released.set()
    for guess in guesses:
        guess.join(20)
    assert statuses == [401] * 8


def test_wrong_passwords_of_one_address_do_not_block_another_address(
    with_passwords: WebServer, held_checks: HeldChecks
) -> None:
    """The queues of two addresses are served in rotation, so the first scrape of the second one comes early."""
    guesser, scraper = WebClient(with_passwords, address="127.0.0.2"), WebClient(with_passwords)
    statuses: list[int] = []
    guesses = [
        threading.Thread(target=lambda n=number: guesser.status(headers=basic("alice", f"guess {n}")))
        for number in range(8)
    ]
    for guess in guesses:
        guess.start()
    wait_for(lambda: len(held_checks.attempts) == 8, "eight attempts")
    scrape = threading.Thread(target=lambda: statuses.append(scraper.status(headers=basic("alice", "open sesame"))))
    scrape.start()
    held_checks.release(9)
    for thread in (scrape, *guesses):
        thread.join(20)
    assert statuses == [200]
    assert held_checks.checked.index(b"open sesame") <= 2
    assert len(held_checks.checked) == 9


def test_equal_attempts_share_one_check(with_passwords: WebServer, held_checks: HeldChecks) -> None:
    """An outdated password that twenty scrapers send is checked once."""
    statuses: list[int] = []
    scrapers = [
        threading.Thread(
            target=lambda: statuses.append(WebClient(with_passwords).status(headers=basic("alice", "old")))
        )
        for _ in range(20)
    ]
    for scraper in scrapers:
        scraper.start()
    held_checks.release(20)
    for scraper in scrapers:
        scraper.join(20)
    assert (statuses, held_checks.checked) == ([401] * 20, [b"old"])


def test_too_many_attempts_get_429(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts over the limit get 429 at once, and the right password still gets 200."""
    WebClient(with_passwords).request(headers=basic("alice", "open sesame"))
    release = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: release.wait(20) and False)
    statuses: list[int] = []
    guesses = [
        threading.Thread(
            target=lambda n=number: statuses.append(WebClient(with_passwords).status(headers=basic("alice", str(n))))
        )
        for number in range(30)
    ]
    for guess in guesses:
        guess.start()
    waiting = passwords._MAX_PER_QUEUE + 1  # one of them is being checked
    wait_for(lambda: len(statuses) == 30 - waiting, "the status 429 for the others")
    assert statuses == [429] * (30 - waiting)
    assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200
    release.set()
    for guess in guesses:
        guess.join(20)
    assert sorted(statuses) == [401] * waiting + [429] * (30 - waiting)


def test_a_client_that_disconnects_cancels_no_check_of_others(with_passwords: WebServer) -> None:
    """The check of a client that disconnected completes, and the next one follows."""
    with socket.create_connection(("127.0.0.1", with_passwords.port)) as client:
        header = basic("alice", "no")["Authorization"]
        client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {header}\r\n\r\n".encode())
    assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200


def test_a_server_stops_while_a_password_is_checked(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running check, which cannot be interrupted, does not delay the stop."""
    started, release, ended = threading.Event(), threading.Event(), threading.Event()

    def held(*_: bytes) -> bool:
        started.set()
        release.wait(20)
        ended.set()
        return True

    monkeypatch.setattr(bcrypt, "checkpw", held)
    client = WebClient(with_passwords)
    client_thread = threading.Thread(target=lambda: _request_until_stop(client))
    client_thread.start()
    assert started.wait(10)
    checking = [
        thread for thread in threading.enumerate() if thread.name == "password"
    ]  # one of another test may be ending
    began = time.monotonic()
    with_passwords.stop(3)
    assert time.monotonic() - began < 2
    release.set()
    for thread in checking:
        thread.join(10)
    assert ended.is_set()
    client_thread.join(10)


def test_a_process_that_ends_during_a_check_exits_with_status_0(config: Path) -> None:
    """The thread of the check does not abort the process."""
    slow = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode().replace("$04$", "$14$")
    write(config, f"basic_auth_users: {{alice: {slow}}}")
    script = """
import sys, threading, time
from pathlib import Path
from tests.support.process import wait_for
from tests.support.web import WebClient, FakePages, basic, serving
class SlowEnd:
    def __del__(self, pause=time.sleep): pause(1.5)
slow_end = SlowEnd()  # Python's own end takes long enough for the check to come back within it
with serving(FakePages(), Path(sys.argv[1])) as server:
    request = {"headers": basic("alice", "guess")}
    threading.Thread(target=WebClient(server).status, kwargs=request, daemon=True).start()
    wait_for(lambda: any(thread.name == "password" for thread in threading.enumerate()), "a running check")
"""
    command = [sys.executable, "-c", script, str(config)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=30, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr


def _request_until_stop(client: WebClient) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        client.status(headers=basic("alice", "open sesame"))


# TLS


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


# Headers


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


# Changes


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


REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


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
    assert "must hold a mapping" in messages[0]
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


def test_a_file_is_not_read_while_it_is_written(config: Path, pages: FakePages) -> None:
    """A file is read one second after its last change, because half of it may lack the passwords."""
    with serving(pages, write(config, USERS)) as server:
        config.write_text("{}")
        assert WebClient(server).status() == 401
        settle(config)
        assert WebClient(server).status() == 200


# The warning


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
