"""Name look-ups end at each caller's deadline, and a dead resolver holds one thread per host, no more."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from monitor.http.resolver import LookupFailedError, Resolver

ANSWER: list[tuple[Any, ...]] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]


class HangingLookup:
    """A resolver of the system that answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.asked = threading.Semaphore(0)
        self.answer = threading.Event()
        self.error: Exception | None = None

    def __call__(self, host: str, __port: int, **_: object) -> list[tuple[Any, ...]]:
        """Wait, then answer as `getaddrinfo` does."""
        self.calls.append(host)
        self.asked.release()
        assert self.answer.wait(10)
        if self.error:
            raise self.error
        return ANSWER


@pytest.fixture
def lookup() -> Iterator[HangingLookup]:
    """One that hangs; it is let go at the end."""
    lookup = HangingLookup()
    yield lookup
    lookup.answer.set()


def test_a_name_resolves_to_what_the_system_says() -> None:
    """With the addresses in the system's order, ready to connect to."""
    addresses, _ = Resolver().resolve("localhost", 443, 5)
    assert ("127.0.0.1", 443) in [address.sockaddr[:2] for address in addresses]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_needs_no_look_up(host: str, lookup: HangingLookup) -> None:
    """So nothing can keep it from being connected to."""
    (found,), took = Resolver(lookup).resolve(host, 443, 0.0)
    assert found.sockaddr[:2] == (host, 443)
    assert took == 0
    assert lookup.calls == []


def test_a_name_that_is_not_there_is_told_in_words() -> None:
    """`.invalid` never is (RFC 6761 section 6.4)."""
    with pytest.raises(LookupFailedError, match=r"\w+ \w+"):
        Resolver().resolve("nowhere.invalid", 443, 5)


def test_a_name_that_cannot_be_encoded_is_no_name() -> None:
    """A label of more than 63 characters never reaches the resolver."""
    with pytest.raises(LookupFailedError, match="cannot be looked up"):
        Resolver().resolve("ä" * 64 + ".test", 443, 5)


def test_a_look_up_that_hangs_is_left_at_the_deadline(lookup: HangingLookup) -> None:
    """To the caller's own, however long the system takes."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        Resolver(lookup).resolve("dead.test", 443, 0.1)
    assert 0.1 <= time.monotonic() - began < 0.35


def test_a_dead_resolver_holds_one_thread_per_host(lookup: HangingLookup) -> None:
    """Later turns wait for the look-up that is under way; another host has its own."""
    resolver = Resolver(lookup)
    for host in ("one.test", "one.test", "one.test", "two.test", "two.test"):
        with pytest.raises(TimeoutError):
            resolver.resolve(host, 443, 0.02)
    assert lookup.calls == ["one.test", "two.test"]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "worker")


def test_who_waits_for_the_same_look_up_gets_its_answer(lookup: HangingLookup) -> None:
    """One answer for all, and for nobody who left."""
    resolver = Resolver(lookup)
    got: list[object] = []
    waiting = [threading.Thread(target=lambda: got.append(resolver.resolve("one.test", 443, 10))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert lookup.asked.acquire(timeout=5)
    lookup.answer.set()
    for thread in waiting:
        thread.join(5)
    assert len(got) == 3


def test_the_time_is_that_of_the_look_up() -> None:
    """Not that of a thread which is slow to start."""
    resolver = Resolver(lambda *_, **__: [(threading.Event().wait(0.05), *ANSWER[0])[1:]])
    start = resolver._workers.start

    def start_late(task: Callable[[], None]) -> None:
        threading.Timer(0.2, start, (task,)).start()

    resolver._workers.start = start_late  # type: ignore[method-assign]
    _, took = resolver.resolve("one.test", 443, 5)
    assert 0.05 <= took < 0.2


def test_who_joins_late_has_waited_for_less(lookup: HangingLookup) -> None:
    """Its exchange began when it asked."""
    resolver = Resolver(lookup)
    with pytest.raises(TimeoutError):
        resolver.resolve("one.test", 443, 0.3)
    threading.Timer(0.05, lookup.answer.set).start()
    _, took = resolver.resolve("one.test", 443, 5)
    assert 0.03 < took < 0.3


def test_an_answer_is_not_kept(lookup: HangingLookup) -> None:
    """Resolution is part of what is watched: the next turn asks anew, after a failure too."""
    resolver = Resolver(lookup)
    lookup.answer.set()
    for error in (None, OSError(), None):
        lookup.error = error
        with contextlib.suppress(LookupFailedError):
            resolver.resolve("one.test", 443, 5)
    assert lookup.calls == ["one.test"] * 3


def test_a_thread_that_cannot_start_leaves_nothing_behind(
    lookup: HangingLookup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next caller starts its own look-up, instead of waiting for one that never was."""
    resolver = Resolver(lookup)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            resolver.resolve("one.test", 443, 5)
    lookup.answer.set()
    assert resolver.resolve("one.test", 443, 5)
