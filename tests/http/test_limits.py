"""A lack of descriptors, memory or threads on this machine is an internal fault, never one of the vendor."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import sys
import time
from typing import Any

import pytest

from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault, exchange_error
from monitor.http.exchange import HttpRequest
from monitor.http.happy_eyeballs import ConnectionAttempts
from monitor.http.resolver import HostAddress, LookupFailedError, Resolver
from monitor.http.tls import unverifying_context
from monitor.machine.limits import LocalLimitError, has_free_descriptors
from monitor.simulator import Simulator
from tests.simulator.proxy import SilentAddress
from tests.support.limits import free_descriptors, no_threads, run_alone

LIMITS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
FAULTS = (ExchangeFault.CONNECT, ExchangeFault.PROXY, ExchangeFault.TLS, ExchangeFault.DISCONNECT)

SWEEP = """
import sys
from pathlib import Path
from monitor.http.client import HttpClient
from monitor.http.exchange import HttpRequest
from monitor.http.tls import verifying_context
from tests.support.limits import free_descriptors

url, ca_file = sys.argv[1:]
client = HttpClient(verifying_context(Path(ca_file)))
request = HttpRequest("GET", url, {"Connection": "close"}, 20)
assert client.exchange(request).status, "the server responds"
for count in range(8):
    with free_descriptors(count):
        exchange = client.exchange(request)
        check = client.check_connection(url, None, 20)
    print(count, exchange.fault or exchange.status, check.fault or "connected")
"""

UNTRUSTED = """
import contextlib
import sys
from monitor.http.client import HttpClient
from monitor.http.exchange import HttpRequest
from monitor.http.tls import verifying_context
from tests.support.limits import no_threads

client = HttpClient(verifying_context())
for limit in (no_threads(), contextlib.nullcontext()):
    with limit:
        exchange = client.exchange(HttpRequest("GET", sys.argv[1], {}, 20))
        check = client.check_connection(sys.argv[1], None, 20)
    print(exchange.fault, check.fault, exchange.fault_detail)
"""


class FailingLookup:
    """A `getaddrinfo` that raises."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_: object, **__: object) -> list[tuple[Any, ...]]:
        """Raise the error."""
        raise self.error


def test_each_number_of_free_descriptors_gives_a_response_or_an_internal_fault() -> None:
    """The lookup, the socket and the handshake need descriptors in turn; none of them blames the vendor."""
    with Simulator(["prod"]) as simulator:
        port = simulator.environment("prod").api_url.rsplit(":", 1)[1]
        url = f"https://localhost:{port}/api/system/ping"
        arguments = [sys.executable, "-c", SWEEP, url, str(simulator.ca_file)]
        lines = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=50).stdout.splitlines()
    assert lines[0] == "0 internal internal"
    assert lines[-1] == "7 401 connected"
    assert {text for line in lines for text in line.split()[1:]} == {"internal", "401", "connected"}


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NODATA])
def test_a_lookup_without_free_descriptors_does_not_report_an_unknown_name(code: int) -> None:
    """The system's resolver hides that it could not open a file or a socket."""
    resolver = Resolver(FailingLookup(socket.gaierror(code, "no such name")))
    with free_descriptors(1), pytest.raises(LocalLimitError, match="file descriptor"):
        resolver.resolve("tigr.test", 443, 10)
    with pytest.raises(LookupFailedError, match="no such name"):
        resolver.resolve("tigr.test", 443, 10)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
        LookupError("unknown encoding: idna"),  # a module that could not be loaded
    ],
)
def test_a_lookup_that_a_limit_ends_is_no_unknown_name(error: Exception) -> None:
    """Every other error than an unknown name leaves the state of the name unknown."""
    with pytest.raises(LocalLimitError):
        Resolver(FailingLookup(error)).resolve("tigr.test", 443, 10)


def test_the_system_s_own_lookup_without_free_descriptors_is_internal() -> None:
    """The real resolver cannot read its configuration."""
    with free_descriptors(0):
        assert not has_free_descriptors()
        with pytest.raises(LocalLimitError):
            Resolver().resolve("localhost", 443, 10)
    assert has_free_descriptors()


def test_a_lookup_whose_thread_cannot_start_is_internal() -> None:
    """The exchange has a fault of its own; the next one, with memory for a thread, succeeds or fails as usual."""
    run_alone(lookup_without_a_thread)


def lookup_without_a_thread() -> None:
    """Send a request while no thread can start, and another one afterwards."""
    client = HttpClient(unverifying_context())
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = HttpRequest("GET", f"http://localhost:{server.getsockname()[1]}/", {}, 0.5)
        with no_threads():
            exchange = client.exchange(request)
        assert (exchange.fault, exchange.fault_detail) == (
            ExchangeFault.INTERNAL,
            "this machine starts no further thread for the monitor",
        )
        assert client.exchange(request).fault is ExchangeFault.TIMEOUT


def test_a_certificate_that_fails_without_free_heap_is_an_internal_fault() -> None:
    """OpenSSL then reports a key that is too weak, for example: the verdict counts only with memory."""
    with Simulator(["prod"]) as simulator:
        url = simulator.environment("prod").api_url.replace("localhost", "127.0.0.1")  # a lookup needs a thread
        arguments = [sys.executable, "-c", UNTRUSTED, url]
        lines = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=50).stdout.splitlines()
    assert lines[0] == "internal internal this machine has no free memory for the monitor"
    assert lines[1].startswith("certificate certificate the certificate did not verify: unable to get")


def test_sockets_are_opened_when_their_attempts_start() -> None:
    """Fifty silent addresses need one descriptor per quarter of a second, not fifty at once."""
    with SilentAddress("127.0.0.2") as silent:
        address = HostAddress(socket.AF_INET, (silent.host, silent.port))
        with free_descriptors(6), pytest.raises(TimeoutError):
            ConnectionAttempts([address] * 50).connect(time.monotonic() + 0.8)


def test_an_address_that_could_not_be_tried_leaves_the_state_unknown() -> None:
    """Neither the refusal nor the silence of another address decides."""
    with socket.create_server(("127.0.0.1", 0)) as server, SilentAddress("127.0.0.2") as silent:
        untried = HostAddress(socket.AF_INET, server.getsockname())
        waiting = HostAddress(socket.AF_INET, (silent.host, silent.port))
        for free, addresses in ((0, [untried]), (1, [waiting, untried])):
            with free_descriptors(free), pytest.raises(OSError, match="Too many open files"):
                ConnectionAttempts(addresses).connect(time.monotonic() + 2)


def test_a_limit_that_decides_at_the_deadline_is_internal() -> None:
    """The silence of the address that was tried is no timeout, because the other one could not be tried."""
    with socket.create_server(("127.0.0.1", 0)) as server, SilentAddress("127.0.0.2") as silent:
        addresses = [(silent.host, silent.port), server.getsockname()]
        entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        client = HttpClient(unverifying_context(), Resolver(lambda *_, **__: entries))
        with free_descriptors(1):
            exchange = client.exchange(HttpRequest("GET", "http://host.test/", {}, 2))
            check = client.check_connection("http://host.test/", None, 2)
    for result in (exchange, check):
        assert result.duration >= 2
        assert result.fault is ExchangeFault.INTERNAL


def test_an_address_that_accepts_decides_although_another_could_not_be_tried() -> None:
    """The connection that was made is used."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = HostAddress(socket.AF_INET, server.getsockname())
        unavailable = HostAddress(socket.AddressFamily.AF_PACKET, ("lo", 0))
        with free_descriptors(1):
            ConnectionAttempts([unavailable, address]).connect(time.monotonic() + 10).close()


@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_the_errors_of_limits_are_internal(fault: ExchangeFault) -> None:
    """Every other number of the system keeps its fault, and OpenSSL's numbers are not the system's."""
    for number in errno.errorcode:
        error = exchange_error(fault, "it failed", OSError(number, os.strerror(number)))
        assert (error.fault is ExchangeFault.INTERNAL) == (number in LIMITS), errno.errorcode[number]
    assert exchange_error(fault, "it failed", MemoryError()).fault is ExchangeFault.INTERNAL
    for number in LIMITS:
        refused = ssl.SSLError(number, "wrong version number")
        refused.reason = "WRONG_VERSION_NUMBER"
        assert exchange_error(fault, "it failed", refused).fault is fault


def test_an_error_of_the_program_is_not_described_as_one_of_the_network() -> None:
    """Only the lack of a thread is known among the errors of Python at run time."""
    with pytest.raises(RuntimeError, match="a fault"):
        exchange_error(ExchangeFault.CONNECT, "it failed", RuntimeError("a fault"))
