"""Lookups end at each caller's deadline, and a dead DNS server blocks at most one thread per host."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from monitor.http.resolver import LookupFailedError, Resolver

ENTRIES: list[tuple[Any, ...]] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]


class HangingLookup:
    """A `getaddrinfo` that returns when a test releases it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.called = threading.Semaphore(0)
        self.released = threading.Event()
        self.error: Exception | None = None

    def __call__(self, host: str, __port: int, **_: object) -> list[tuple[Any, ...]]:
        """Wait for the release, then return or raise as `getaddrinfo` does."""
        self.calls.append(host)
        self.called.release()
        assert self.released.wait(30)
        if self.error:
            raise self.error
        return ENTRIES


@pytest.fixture
def lookup() -> Iterator[HangingLookup]:
    """Provide a lookup that hangs until the end of the test."""
    lookup = HangingLookup()
    yield lookup
    lookup.released.set()


def test_a_name_resolves_as_the_system_resolves_it() -> None:
    """The addresses of the system are returned with the port."""
    addresses, _ = Resolver().resolve("localhost", 443, 20)
    assert ("127.0.0.1", 443) in [address.sockaddr[:2] for address in addresses]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_literal_address_needs_no_lookup(host: str, lookup: HangingLookup) -> None:
    """A literal address is returned without a lookup, even when no time is left."""
    (address,), took = Resolver(lookup).resolve(host, 443, 0.0)
    assert address.sockaddr[:2] == (host, 443)
    assert took == 0
    assert lookup.calls == []


def test_an_unknown_name_has_a_message() -> None:
    """The message has at least two words; `.invalid` never resolves (RFC 6761 section 6.4)."""
    with pytest.raises(LookupFailedError, match=r"\w+ \w+"):
        Resolver().resolve("nowhere.invalid", 443, 20)


def test_a_name_that_cannot_be_encoded_is_a_failed_lookup() -> None:
    """A label of more than 63 characters is a failed lookup."""
    with pytest.raises(LookupFailedError, match="cannot be looked up"):
        Resolver().resolve("ä" * 64 + ".test", 443, 20)


def test_a_lookup_that_hangs_is_a_timeout_at_the_deadline(lookup: HangingLookup) -> None:
    """The caller gets a timeout at its deadline while the lookup still hangs."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Resolver(lookup).resolve("dead.test", 443, 0.1)
    assert 0.1 <= time.monotonic() - began < 10  # the lookup lasts until the test releases it


def test_a_dead_dns_server_blocks_one_thread_per_host(lookup: HangingLookup) -> None:
    """Later callers wait for the pending lookup of their host, and another host has a lookup of its own."""
    resolver = Resolver(lookup)
    for host in ("one.test", "one.test", "one.test", "two.test", "two.test"):
        with pytest.raises(TimeoutError):
            resolver.resolve(host, 443, 0.02)
    for _ in range(2):
        assert lookup.called.acquire(timeout=10)
    assert sorted(lookup.calls) == ["one.test", "two.test"]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "worker")


def test_callers_share_a_pending_lookup(lookup: HangingLookup) -> None:
    """Three callers get the result of one lookup."""
    resolver = Resolver(lookup)
    results: list[object] = []
    waiting = [threading.Thread(target=lambda: results.append(resolver.resolve("one.test", 443, 20))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert lookup.called.acquire(timeout=10)
    lookup.released.set()
    for thread in waiting:
        thread.join(10)
    assert len(results) == 3


def test_the_seconds_are_those_of_the_lookup() -> None:
    """The seconds leave out the time that the thread takes to start."""
    resolver = Resolver(lambda *_, **__: [(threading.Event().wait(0.05), *ENTRIES[0])[1:]])
    start = resolver._workers.start

    def start_late(task: Callable[[], None]) -> None:
        threading.Timer(1.5, start, (task,)).start()

    resolver._workers.start = start_late  # type: ignore[method-assign]
    _, took = resolver.resolve("one.test", 443, 20)
    assert 0.05 <= took < 1.5


def test_a_caller_that_joins_late_has_fewer_seconds(lookup: HangingLookup) -> None:
    """A caller that joins a pending lookup gets the seconds since its own call."""
    resolver = Resolver(lookup)
    with pytest.raises(TimeoutError):
        resolver.resolve("one.test", 443, 1.5)
    threading.Timer(0.05, lookup.released.set).start()
    _, took = resolver.resolve("one.test", 443, 20)
    assert 0 <= took < 1.5


def test_a_result_is_not_cached(lookup: HangingLookup) -> None:
    """Each call starts a new lookup, also after a failure, because name resolution is monitored too."""
    resolver = Resolver(lookup)
    lookup.released.set()
    for error in (None, OSError(), None):
        lookup.error = error
        with contextlib.suppress(LookupFailedError):
            resolver.resolve("one.test", 443, 20)
    assert lookup.calls == ["one.test"] * 3


def test_a_thread_that_cannot_start_leaves_no_pending_lookup(
    lookup: HangingLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next call starts a lookup of its own instead of waiting for one that never ran."""
    resolver = Resolver(lookup)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            resolver.resolve("one.test", 443, 20)
    lookup.released.set()
    assert resolver.resolve("one.test", 443, 20)
