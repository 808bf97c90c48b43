"""Tests of passwords over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import bcrypt
import pytest

from monitor.web import passwords
from monitor.web.server import WebServer
from tests.support.checkout import ROOT
from tests.support.process import wait_for
from tests.support.web import SESAME, SLOW_SESAME, FakePages, WebClient, basic, serving, write

USERS = f"basic_auth_users: {{alice: {SESAME}, bob: {SESAME}}}\n"
SLOW_USERS = f"basic_auth_users: {{alice: {SLOW_SESAME}}}\n"
EVERY_PATH = ("/", "/metrics", "/-/healthy", "/-/ready", "/nothing")


@pytest.fixture
def with_passwords(config: Path, pages: FakePages) -> Iterator[WebServer]:
    """Yield a server with a password whose check takes a measurable time."""
    with serving(pages, write(config, SLOW_USERS)) as server:
        yield server


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
        guess.join(60)
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
        assert self.released.wait(60)
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
        guess.join(60)
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
        thread.join(60)
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
        scraper.join(60)
    assert (statuses, held_checks.checked) == ([401] * 20, [b"old"])


def test_too_many_attempts_get_429(with_passwords: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts over the limit get 429 at once, and the right password still gets 200."""
    WebClient(with_passwords).request(headers=basic("alice", "open sesame"))
    release = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: release.wait(60) and False)
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
        guess.join(60)
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
        release.wait(60)
        ended.set()
        return True

    monkeypatch.setattr(bcrypt, "checkpw", held)
    client = WebClient(with_passwords)
    client_thread = threading.Thread(target=lambda: _request_until_stop(client))
    client_thread.start()
    assert started.wait(60)
    checking = [
        thread for thread in threading.enumerate() if thread.name == "password"
    ]  # one of another test may be ending
    began = time.monotonic()
    with_passwords.stop(60)
    assert time.monotonic() - began < 30
    release.set()
    for thread in checking:
        thread.join(60)
    assert ended.is_set()
    client_thread.join(60)


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
slow_end = SlowEnd()  # the shutdown of Python takes long enough for the check to return during it
with serving(FakePages(), Path(sys.argv[1])) as server:
    request = {"headers": basic("alice", "guess")}
    threading.Thread(target=WebClient(server).status, kwargs=request, daemon=True).start()
    wait_for(lambda: any(thread.name == "password" for thread in threading.enumerate()), "a running check")
"""
    command = [sys.executable, "-c", script, str(config)]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=200, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr


def _request_until_stop(client: WebClient) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        client.status(headers=basic("alice", "open sesame"))
