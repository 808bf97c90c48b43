"""No client of the web server can lock out another one, and none uses up the descriptors that probes need."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import select
import socket
import threading
from asyncio.sslproto import SSLProtocol
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.hosts import client_network, is_loopback
from monitor.web import connections
from monitor.web.passwords import PasswordAttempt, Passwords, PasswordVerdict
from monitor.web.server import WebServer
from tests.support.process import wait_for
from tests.support.web import SESAME, Authority, FakePages, WebClient, serving, write

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"
LOCAL, SCRAPER, OTHER, FLOODER = "127.0.0.1", "127.0.0.3", "127.0.0.4", "127.0.0.2"
HASHES = {"alice": SESAME.encode()}


@pytest.fixture
def server(pages: FakePages, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Yield a server with room for 32 connections, to which only 127.0.0.1 is this machine."""
    monkeypatch.setattr(connections, "_MAX_CONNECTIONS", 32)
    monkeypatch.setattr(connections, "is_loopback", lambda host: host == LOCAL)
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    yield server
    server.stop()


def connect(server: WebServer, address: str) -> socket.socket:
    """Return a connection from a local address."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=15, source_address=(address, 0))


def is_served(client: socket.socket) -> bool:
    """Send a request, and return whether a response came."""
    received = b""
    with contextlib.suppress(ConnectionError):
        client.sendall(REQUEST)
        while not received.endswith(b"Healthy\n") and (data := client.recv(100_000)):
            received += data
    return received.startswith(b"HTTP/1.1 200") and received.endswith(b"Healthy\n")


def is_open(client: socket.socket) -> bool:
    """Return whether the server has kept an idle connection whose responses were read."""
    return select.select([client], [], [], 0)[0] == []


def test_a_flood_of_one_network_drops_only_its_own_connections(server: WebServer) -> None:
    """Two older connections without a request survive two hundred of one client, and a third client finds room."""
    with contextlib.ExitStack() as stack:
        scrapers = [stack.enter_context(connect(server, address)) for address in (SCRAPER, OTHER)]
        flood = [stack.enter_context(connect(server, FLOODER)) for _ in range(200)]
        assert is_served(flood[-1])
        assert is_served(stack.enter_context(connect(server, "127.0.0.5")))
        assert [is_served(scraper) for scraper in scrapers] == [True, True]
        assert sum(is_open(client) for client in flood) <= 32


def test_room_is_kept_for_clients_on_this_machine(server: WebServer) -> None:
    """Remote clients get all connections but two; these neither are used by others nor make others lose theirs."""
    with contextlib.ExitStack() as stack:
        remote = [stack.enter_context(connect(server, f"127.0.1.{number}")) for number in range(1, 41)]
        assert is_served(remote[-1])  # all before it were accepted
        again = stack.enter_context(connect(server, "127.0.1.40"))  # a second connection drops the first of its network
        assert is_served(again)
        assert not is_served(remote[-1])
        assert is_served(remote[-2])
        served = [is_served(client) for client in remote[:10]]
        assert served == [False] * 10  # ten others came after them, and each network has one connection
        local = [stack.enter_context(connect(server, LOCAL)) for _ in range(2)]
        assert [is_served(client) for client in local] == [True, True]
        later = [stack.enter_context(connect(server, f"127.0.2.{number}")) for number in range(1, 41)]
        assert is_served(later[-1])
        assert [is_served(client) for client in local] == [True, True]


def test_clients_that_do_not_read_are_dropped_first(server: WebServer, pages: FakePages) -> None:
    """A new client is served although unread responses occupy all connections, and idle ones are kept."""
    pages.body = b"x" * 30_000_000
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(connect(server, SCRAPER))  # the oldest, without a request
        for number in range(29):
            lazy = stack.enter_context(connect(server, f"127.0.1.{number + 1}"))
            lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            assert lazy.recv(12) == b"HTTP/1.1 200"
        for address in (OTHER, "127.0.0.5"):
            assert is_served(stack.enter_context(connect(server, address)))
        assert is_served(idle)


def test_dropped_tls_connections_are_freed_at_once(
    config: Path, pages: FakePages, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five hundred clients that send nothing leave no objects for the garbage collector: they were 0.1 MB each."""
    monkeypatch.setattr(connections, "_MAX_CONNECTIONS", 32)
    write(config, "tls_server_config: {cert_file: server.crt, key_file: server.key}")
    gc.collect()
    gc.disable()
    try:
        with serving(pages, config) as server, contextlib.ExitStack() as stack:
            for _ in range(500):
                stack.enter_context(connect(server, LOCAL))
            assert WebClient(server, authority.file).status() == 200  # all others were accepted before
            protocols = [each for each in gc.get_objects() if isinstance(each, SSLProtocol)]
            assert len(protocols) <= 64
            assert {len(vars(each)["_ssl_buffer"]) for each in protocols} == {connections._TLS_BUFFER}
    finally:
        gc.enable()


def test_at_most_sixteen_connections_are_accepted_per_iteration(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two batches the event loop closes the descriptors of dropped connections."""
    batches: list[int] = []
    accept, admit = connections.WebListener._accept, connections.WebListener._has_room

    def batch(listener: connections.WebListener) -> None:
        batches.append(0)
        accept(listener)

    def admitted(listener: connections.WebListener, network: str) -> bool:
        batches[-1] += 1
        return admit(listener, network)

    # The running listener has registered its own method: a further server uses the changed one.
    monkeypatch.setattr(connections.WebListener, "_accept", batch)
    monkeypatch.setattr(connections.WebListener, "_has_room", admitted)
    waiting = WebServer("127.0.0.1", 0, FakePages())  # listens, and accepts nothing before its start
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(waiting, LOCAL))
        waiting.start()
        stack.callback(waiting.stop)
        wait_for(lambda: sum(batches) == 100, "all connections are accepted")
    assert max(batches) == 16


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1))
def test_ipv6_clients_count_by_their_64(address: int, host: int) -> None:
    """All addresses of one /64 are one client; loopback and mapped IPv4 addresses are themselves."""
    parsed = ipaddress.IPv6Address(address)
    neighbour = ipaddress.IPv6Address((address >> 64 << 64) | host)
    if parsed.ipv4_mapped or neighbour.ipv4_mapped or parsed.is_loopback or neighbour.is_loopback:
        return
    assert client_network(str(parsed)) == client_network(str(neighbour))
    other = ipaddress.IPv6Address(address ^ (1 << 64))
    assert client_network(str(parsed)) != client_network(str(other))


@pytest.mark.parametrize(
    "address, network",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("", ""),
    ],
)
def test_the_network_of_a_client(address: str, network: str) -> None:
    """Loopback stays loopback, also on a dual-stack socket."""
    assert client_network(address) == network
    assert is_loopback(client_network(address)) == (network in ("127.0.0.1", "::1"))


class HeldBcrypt:
    """Checks that wait for the test, then accept only `open sesame`."""

    def __init__(self) -> None:
        self.released = threading.Event()

    def __call__(self, password: bytes, _: bytes) -> bool:
        """Wait for the release, then check."""
        assert self.released.wait(20)
        return password == b"open sesame"


@pytest.mark.parametrize(
    "guessers",
    [
        [("192.0.2.1", f"name {number}") for number in range(200)],
        [("192.0.2.1", "alice")] * 200,
        [(f"2001:db8::{number:x}", f"name {number}") for number in range(1, 200)],
        [(f"192.0.2.{number % 10}", f"name {number}") for number in range(200)],
    ],
    ids=["one address, many names", "one address, one name", "one /64", "ten addresses"],
)
def test_guessing_locks_out_no_other_address(guessers: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The right password of another address is checked, and early."""
    held = HeldBcrypt()
    monkeypatch.setattr(bcrypt, "checkpw", held)

    async def outcome() -> tuple[PasswordVerdict, int]:
        checks = Passwords()
        ended: list[PasswordVerdict] = []
        guesses = []
        for number, (address, name) in enumerate(guessers):
            attempt = PasswordAttempt(name, b"guess %d" % number, address)
            guess = asyncio.ensure_future(checks.check(attempt, HASHES))
            guess.add_done_callback(lambda done: ended.append(done.result()))
            guesses.append(guess)
            await asyncio.sleep(0)
        right = asyncio.ensure_future(checks.check(PasswordAttempt("alice", b"open sesame", "198.51.100.1"), HASHES))
        await asyncio.sleep(0)
        held.released.set()
        verdict = await asyncio.wait_for(right, 20)
        before = ended.count(PasswordVerdict.WRONG)
        await asyncio.gather(*guesses)
        return verdict, before

    verdict, before = asyncio.run(outcome())
    assert verdict is PasswordVerdict.RIGHT
    assert before <= 11  # one check of each of at most ten networks, and the one that was running


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_check_whose_thread_cannot_start_blocks_no_later_one(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client is asked to come again, and the next check runs."""
    real = threading.Thread
    failures = [error]

    def thread(*args: object, **kwargs: object) -> object:
        if failures:
            raise failures.pop()
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(threading, "Thread", thread)

    async def verdicts() -> list[PasswordVerdict]:
        checks, attempt = Passwords(), PasswordAttempt("alice", b"open sesame", "192.0.2.1")
        return [await asyncio.wait_for(checks.check(attempt, HASHES), 20) for _ in range(2)]

    assert asyncio.run(verdicts()) == [PasswordVerdict.BUSY, PasswordVerdict.RIGHT]


def test_a_check_without_resources_blocks_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bcrypt that cannot be loaded for lack of a descriptor denies the request for now."""
    failures: list[Exception] = [OSError(24, "Too many open files"), MemoryError()]

    def check(*_: bytes) -> bool:
        if failures:
            raise failures.pop()
        return True

    monkeypatch.setattr(bcrypt, "checkpw", check)

    async def verdicts() -> list[PasswordVerdict]:
        checks, attempt = Passwords(), PasswordAttempt("alice", b"open sesame", "192.0.2.1")
        return [await asyncio.wait_for(checks.check(attempt, HASHES), 20) for _ in range(3)]

    assert asyncio.run(verdicts()) == [PasswordVerdict.BUSY, PasswordVerdict.BUSY, PasswordVerdict.RIGHT]
