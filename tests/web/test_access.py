"""Who may see the pages: TLS, client certificates and passwords, over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import logging
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
    """Pages that are well."""
    return FakePages()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that has issued the server's certificate."""
    authority = Authority(tmp_path)
    settle(*authority.issue("server", "127.0.0.1", "localhost"))
    return authority


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Where the web configuration is."""
    return tmp_path / "web.yml"


@pytest.fixture
def with_passwords(config: Path, pages: FakePages) -> Iterator[WebServer]:
    """A server that asks for a password, whose check takes noticeable time."""
    with serving(pages, write(config, SLOW_USERS)) as server:
        yield server


# Passwords


@pytest.mark.parametrize("path", EVERY_PATH)
def test_every_path_wants_the_password(config: Path, pages: FakePages, path: str) -> None:
    """As in Prometheus, the health pages too; and the browser is told to ask for it."""
    with serving(pages, write(config, USERS)) as server:
        response, body = WebClient(server).ask(path)
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
def test_whatever_is_not_the_password_is_refused(config: Path, pages: FakePages, headers: dict[str, str]) -> None:
    """A wrong one, somebody else's, none, or something else."""
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        assert WebClient(server).status(headers=headers) == 401


def test_the_scheme_is_written_in_any_case(config: Path, pages: FakePages) -> None:
    """RFC 9110 section 11.1."""
    with serving(pages, write(config, USERS)) as server:
        sent = {"Authorization": basic("bob", "open sesame")["Authorization"].replace("Basic", "bASIC")}
        assert WebClient(server).status(headers=sent) == 200


def test_only_the_first_72_bytes_of_a_password_count(config: Path, pages: FakePages) -> None:
    """As bcrypt has it, and with it every exporter that reads this file."""
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    with serving(pages, write(config, f"basic_auth_users: {{alice: {hashed}}}")) as server:
        assert WebClient(server).status(headers=basic("alice", "x" * 80)) == 200
        assert WebClient(server).status(headers=basic("alice", "x" * 71)) == 401


def test_a_hash_that_bcrypt_does_not_take_lets_nobody_in(config: Path, pages: FakePages) -> None:
    """Its last characters can be such that no program makes them."""
    with serving(pages, write(config, f"basic_auth_users: {{alice: $2b$04${'9' * 53}}}")) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 401


def test_a_right_password_is_checked_once(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is remembered: scrapes do not pay for bcrypt, nor the probes beside them."""
    assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: pytest.fail("checked again"))
    for _ in range(3):
        assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200


def test_nothing_remembered_is_a_password(config: Path, pages: FakePages) -> None:
    """Only a keyed digest is kept, and an attempt shows neither name nor password."""
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        assert server._guard is not None
        kept = server._guard._passwords._right
    assert list(kept) == ["alice"]
    assert b"sesame" not in kept["alice"]
    attempt = passwords.PasswordAttempt("alice", b"open sesame", "127.0.0.1")
    assert repr(attempt) == "PasswordAttempt(address='127.0.0.1')"


def time_of_a_refusal(server: WebServer, name: str) -> float:
    """Seconds until a wrong password is refused: the least of a few."""
    found = []
    for number in range(4):
        began = time.perf_counter()
        assert WebClient(server).status(headers=basic(name, f"wrong {number}")) == 401
        found.append(time.perf_counter() - began)
    return min(found)


def test_an_unknown_name_takes_as_long_as_a_known_one(with_passwords: WebServer) -> None:
    """So that nobody finds out by the clock which names there are."""
    known, unknown = (time_of_a_refusal(with_passwords, name) for name in ("alice", "nobody"))
    assert unknown > 0.5 * known > 0.01


def test_unknown_names_cost_what_known_ones_cost_on_the_whole() -> None:
    """Where costs differ, an unknown name takes the place of one that is known, and always of the same."""
    checker = passwords.Passwords()
    hashes = {"alice": SESAME.encode(), "bob": SLOW_SESAME.encode()}
    names = [f"unknown {number}" for number in range(50)]
    found = [checker._stand_in(name, hashes) for name in names]
    assert set(found) == set(hashes.values())
    assert found == [checker._stand_in(name, hashes) for name in names]


def test_wrong_passwords_in_parallel_delay_no_authorised_scrape(with_passwords: WebServer) -> None:
    """Sixty at once, each another: all are refused, and meanwhile whoever is known is served as ever."""
    WebClient(with_passwords).ask(headers=basic("alice", "open sesame"))
    refused: list[int] = []
    guesses = [
        threading.Thread(
            target=lambda n=number: refused.append(WebClient(with_passwords).status(headers=basic(f"u{n}", str(n))))
        )
        for number in range(60)
    ]
    for guess in guesses:
        guess.start()
    slowest = 0.0
    scrapes = 0
    start = time.perf_counter()
    while any(guess.is_alive() for guess in guesses):
        began = time.perf_counter()
        assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200
        slowest = max(slowest, time.perf_counter() - began)
        scrapes += 1
    assert refused == [401] * 60
    assert scrapes > 10
    assert slowest < (time.perf_counter() - start) / 4


def test_checks_run_one_at_a_time(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many guess, they take one processor."""
    real = bcrypt.checkpw
    active: list[bytes] = []
    seen: list[int] = []

    def watched(password: bytes, hashed: bytes) -> bool:
        active.append(password)
        seen.append(len(active))
        right = real(password, hashed)
        active.remove(password)
        return right

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
    """Checks that wait for the test."""
    held = HeldChecks()
    monkeypatch.setattr(bcrypt, "checkpw", held.check)
    check = passwords.Passwords.check

    async def counted(
        self: passwords.Passwords, attempt: passwords.PasswordAttempt, hashes: Mapping[str, bytes]
    ) -> passwords.PasswordVerdict:
        held.waiting.append(attempt)
        return await check(self, attempt, hashes)

    monkeypatch.setattr(passwords.Passwords, "check", counted)
    return held


class HeldChecks:
    """bcrypt, which does nothing until it may; and how many wait for it."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.waiting: list[passwords.PasswordAttempt] = []
        self.checked: list[bytes] = []
        self._bcrypt = bcrypt.checkpw

    def check(self, password: bytes, hashed: bytes) -> bool:
        """Check, when it may."""
        assert self.may.wait(20)
        self.checked.append(password)
        return self._bcrypt(password, hashed)

    def release(self, number: int) -> None:
        """Let all go on when so many wait."""
        wait_for(lambda: len(self.waiting) == number, f"{number} wait")
        self.may.set()


def test_who_guesses_takes_turns_with_who_knows(with_passwords: WebServer, held_checks: HeldChecks) -> None:
    """One who has sent many wrong passwords does not keep another from his first scrape."""
    guesser, knower = WebClient(with_passwords, address="127.0.0.2"), WebClient(with_passwords)
    answers: list[int] = []
    guesses = [
        threading.Thread(target=lambda n=number: guesser.status(headers=basic("alice", f"guess {n}")))
        for number in range(8)
    ]
    for guess in guesses:
        guess.start()
    wait_for(lambda: len(held_checks.waiting) == 8, "all guess")
    knowing = threading.Thread(target=lambda: answers.append(knower.status(headers=basic("alice", "open sesame"))))
    knowing.start()
    held_checks.release(9)
    for thread in (knowing, *guesses):
        thread.join(20)
    assert answers == [200]
    assert held_checks.checked.index(b"open sesame") <= 2
    assert len(held_checks.checked) == 9


def test_the_same_guess_of_many_is_checked_once(with_passwords: WebServer, held_checks: HeldChecks) -> None:
    """A rotated password that twenty scrapers still send costs one check."""
    answers: list[int] = []
    everybody = [
        threading.Thread(target=lambda: answers.append(WebClient(with_passwords).status(headers=basic("alice", "old"))))
        for _ in range(20)
    ]
    for one in everybody:
        one.start()
    held_checks.release(20)
    for one in everybody:
        one.join(20)
    assert (answers, held_checks.checked) == ([401] * 20, [b"old"])


def test_too_many_guesses_are_sent_away(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 429, and at once; who is known is served nonetheless."""
    WebClient(with_passwords).ask(headers=basic("alice", "open sesame"))
    let_go = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: let_go.wait(20) and False)
    answers: list[int] = []
    guesses = [
        threading.Thread(
            target=lambda n=number: answers.append(WebClient(with_passwords).status(headers=basic("alice", str(n))))
        )
        for number in range(30)
    ]
    for guess in guesses:
        guess.start()
    most = passwords._MOST_PER_QUEUE + 1  # one is being checked
    wait_for(lambda: len(answers) == 30 - most, "the others are sent away")
    assert answers == [429] * (30 - most)
    assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200
    let_go.set()
    for guess in guesses:
        guess.join(20)
    assert sorted(answers) == [401] * most + [429] * (30 - most)


def test_who_hangs_up_takes_no_answer_from_the_others(with_passwords: WebServer) -> None:
    """A check goes on, and the next one follows."""
    with socket.create_connection(("127.0.0.1", with_passwords.port)) as client:
        header = basic("alice", "no")["Authorization"]
        client.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {header}\r\n\r\n".encode())
    assert WebClient(with_passwords).status(headers=basic("alice", "open sesame")) == 200


def test_a_server_stops_while_a_password_is_checked(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bcrypt cannot be interrupted, and holds nothing up; what it finds is nobody's concern any more."""
    begun, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    def held(*_: bytes) -> bool:
        begun.set()
        let_go.wait(20)
        ended.set()
        return True

    monkeypatch.setattr(bcrypt, "checkpw", held)
    client = WebClient(with_passwords)
    asking = threading.Thread(target=lambda: _ignore_the_end(client))
    asking.start()
    assert begun.wait(10)
    checking = [thread for thread in threading.enumerate() if thread.name == "password"]  # another test's may be ending
    began = time.monotonic()
    with_passwords.stop(3)
    assert time.monotonic() - began < 2
    let_go.set()
    for thread in checking:
        thread.join(10)
    assert ended.is_set()
    asking.join(10)


def test_a_process_that_ends_while_a_password_is_checked_ends_well(config: Path) -> None:
    """Its status is that of its end, not of a crash in a thread that was left behind."""
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
    asking = {"headers": basic("alice", "guess")}
    threading.Thread(target=WebClient(server).status, kwargs=asking, daemon=True).start()
    wait_for(lambda: any(thread.name == "password" for thread in threading.enumerate()), "it is checked")
"""
    command = [sys.executable, "-c", script, str(config)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=30, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr


def _ignore_the_end(client: WebClient) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        client.status(headers=basic("alice", "open sesame"))


# TLS


def test_pages_are_served_over_tls(config: Path, pages: FakePages, authority: Authority) -> None:
    """With a certificate that verifies, by TLS 1.3, and the URL says so; plain HTTP gets no page."""
    with serving(pages, write(config, TLS)) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        assert WebClient(server, authority.file).ask()[1] == b"up 1\n"
        with pytest.raises((OSError, http.client.HTTPException)):
            WebClient(server).ask()


@pytest.mark.parametrize(
    "more,versions",
    [
        ("", ["TLSv1.2", "TLSv1.3"]),
        (", min_version: TLS13", ["TLSv1.3"]),
        (", max_version: TLS12", ["TLSv1.2"]),
    ],
)
def test_only_the_versions_that_are_set_are_spoken(
    config: Path, pages: FakePages, authority: Authority, more: str, versions: list[str]
) -> None:
    """TLS 1.2 and 1.3, unless the file says otherwise."""
    spoken = []
    with serving(pages, write(config, TLS.replace("}", f"{more}}}"))) as server:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=authority.file)
            context.minimum_version = context.maximum_version = version
            if (found := handshake(server, context)) is not None:
                spoken.append(found[1])
    assert spoken == versions


def test_only_the_suites_that_are_set_are_spoken(config: Path, pages: FakePages, authority: Authority) -> None:
    """Under Go's names, for TLS 1.2; whose preference counts can be chosen."""
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
    """The cipher and the version that were agreed on; None if none was."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
                cipher, version = client.cipher(), client.version()
                assert cipher is not None
                assert version is not None
                return cipher[0], version
        except ssl.SSLError:
            return None


def test_a_stalled_handshake_delays_nobody_and_is_cut_off(
    config: Path, pages: FakePages, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred clients that never say hello, or stop within it, are in nobody's way."""
    monkeypatch.setattr("monitor.web.connections._TURN_LIMIT", 2.0)
    with serving(pages, write(config, TLS)) as server:
        stalled = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(200)]
        for client in stalled[::2]:
            client.sendall(b"\x16\x03\x01\x02\x00\x01")
        began = time.monotonic()
        assert WebClient(server, authority.file).status() == 200
        assert time.monotonic() - began < 1.5  # before any of them is dropped
        for client in stalled:
            with client, contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""


def client_config(more: str = "") -> str:
    """TLS that wants client certificates."""
    required = "client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem"
    return TLS.replace("}", f", {required}{more}}}")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_can_be_required(
    config: Path, pages: FakePages, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """One of the authority's is let in, also in a resumed session; none, and somebody else's, is not."""
    good = authority.issue("prometheus")
    (tmp_path / "other").mkdir()
    bad = Authority(tmp_path / "other", "other").issue("prometheus")

    def client(server: WebServer, certificate: tuple[Path, Path] | None) -> WebClient:
        found = WebClient(server, authority.file, certificate)
        assert found.context is not None
        found.context.maximum_version = version
        return found

    with serving(pages, write(config, client_config())) as server:
        assert client(server, good).status() == 200
        response, body = client(server, None).ask("/-/healthy")
        assert (response.status, body) == (403, b"A client certificate is needed.\n")
        with pytest.raises((OSError, http.client.HTTPException)):
            client(server, bad).status()
        resuming = client(server, good).context
        assert resuming is not None
        assert resumed(server, resuming) == 200


def resumed(server: WebServer, context: ssl.SSLContext) -> int:
    """The status of a request in a session that was resumed."""
    session = None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            status = int(client.recv(4096).split()[1])
            session, reused = client.session, bool(client.session_reused)
    assert reused
    return status


def test_a_client_certificate_that_may_be_left_out(
    config: Path, pages: FakePages, authority: Authority, tmp_path: Path
) -> None:
    """VerifyClientCertIfGiven lets in who has none, and keeps out who has a wrong one."""
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
def test_a_client_certificate_can_be_held_to_a_name(
    config: Path, pages: FakePages, authority: Authority, san: str, status: int
) -> None:
    """One of the names in the certificate is one of those that are allowed, to the letter."""
    allowed = ", client_allowed_sans: ['prometheus.internal', '::1', 'ops@example.org']"
    certificate = authority.issue("prometheus", *([san] if san else []))
    with serving(pages, write(config, client_config(allowed))) as server:
        assert WebClient(server, authority.file, certificate).status() == status


def test_a_certificate_and_a_password_are_both_needed(config: Path, pages: FakePages, authority: Authority) -> None:
    """Where both are set."""
    certificate = authority.issue("prometheus")
    with serving(pages, write(config, client_config() + USERS)) as server:
        assert WebClient(server, authority.file).status(headers=basic("alice", "open sesame")) == 403
        assert WebClient(server, authority.file, certificate).status() == 401
        assert WebClient(server, authority.file, certificate).status(headers=basic("alice", "open sesame")) == 200


# Headers


def test_headers_are_added_replaced_and_taken_away(config: Path, pages: FakePages) -> None:
    """As the file says, on every answer."""
    headers = "X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=60, Content-Security-Policy: ''"
    with serving(pages, write(config, f"http_server_config: {{headers: {{{headers}}}}}")) as server:
        for path in ("/", "/nothing"):
            found = WebClient(server).ask(path)[0].headers
            assert found.get_all("x-frame-options") == ["sameorigin"]
            assert found["strict-transport-security"] == "max-age=60"
            assert found["content-security-policy"] is None
            assert found["x-content-type-options"] == "nosniff"


# Changes


def test_a_new_configuration_is_in_force_at_once(
    config: Path, pages: FakePages, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a restart or a signal: users, headers, and TLS."""
    caplog.set_level(logging.INFO, "monitor.web.access")
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status() == 401
        write(config, "http_server_config: {headers: {X-XSS-Protection: '0'}}")
        response, _ = WebClient(server).ask()
        assert (response.status, response.headers["x-xss-protection"]) == (200, "0")
    assert caplog.messages == ["the web configuration was read again: no TLS, no passwords"]


def test_a_changed_password_is_needed_at_once(config: Path, pages: FakePages) -> None:
    """What was remembered of the old one does not count."""
    with serving(pages, write(config, USERS)) as server:
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 200
        write(config, USERS.replace(SESAME, bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()))
        assert WebClient(server).status(headers=basic("alice", "open sesame")) == 401
        assert WebClient(server).status(headers=basic("alice", "new")) == 200


def replace_certificate(directory: Path) -> Authority:
    """Replace the server's certificate by that of another authority, which is returned."""
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


def test_a_broken_configuration_changes_nothing_and_is_told_once(
    config: Path, pages: FakePages, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one stays in force until a right one comes."""
    caplog.set_level(logging.INFO, "monitor.web.access")
    monkeypatch.setattr(access_module, "_RETRY", 0.0)
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
    told = [record.getMessage() for record in caplog.records]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "WARNING", "INFO"]
    assert all(text.startswith("the web configuration stays as it was") for text in told[:3])
    assert "must hold a mapping" in told[0]
    assert "basic_auth_users.alice: must be a bcrypt hash" in told[1]
    assert "No such file" in told[2]
    assert "hunter2" not in caplog.text


def test_a_file_that_only_the_new_configuration_names_is_waited_for(
    config: Path,
    pages: FakePages,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was wrong with it may be put right elsewhere; nobody has to touch the configuration again."""
    monkeypatch.setattr(access_module, "_RETRY", 0.0)
    with serving(pages, write(config, "{}")) as server:
        write(config, TLS.replace("server.", "late."))
        assert WebClient(server).status() == 200
        authority.issue("late", "127.0.0.1")
        assert WebClient(server, authority.file).status() == 200
    assert len(caplog.records) == 1


def test_a_file_is_not_read_while_it_is_written(config: Path, pages: FakePages) -> None:
    """The first half of a file may be one that protects nothing: it is read when it has rested for a second."""
    with serving(pages, write(config, USERS)) as server:
        config.write_text("{}")
        assert WebClient(server).status() == 401
        settle(config)
        assert WebClient(server).status() == 200


# The warning


def test_pages_for_everybody_are_warned_of(config: Path, tmp_path: Path, authority: Authority) -> None:
    """Beyond loopback, without protection; and where passwords can be read on their way."""
    bare, with_users = (AccessControl(write(tmp_path / f"{n}.yml", text)) for n, text in enumerate(("{}", USERS)))
    with_tls = AccessControl(write(config, TLS))
    for host in ("127.0.0.1", "::1", "localhost"):
        assert exposure_warning(host, None) is None
    for host, named in (
        ("", "every address"),
        ("192.0.2.1", "192.0.2.1"),
        ("::", "::"),
        ("monitor.internal", "monitor"),
    ):
        assert f"served on {named}" in str(exposure_warning(host, None))
    assert "TIGR_WEB_CONFIG_FILE" in str(exposure_warning("", None))
    assert "without TLS and without a password" in str(exposure_warning("", bare))
    assert "passwords but without TLS" in str(exposure_warning("", with_users))
    assert exposure_warning("", with_tls) is None
