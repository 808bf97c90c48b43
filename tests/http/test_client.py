"""One exchange: measured at the socket, bounded in time and size, and told whatever becomes of it."""

from __future__ import annotations

import gzip
import logging
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator

import pytest

from monitor.http import client as wire_module
from monitor.http.client import ANSWER_LIMIT, Exchange, Fault, Request, Wire
from monitor.http.happy_eyeballs import Race
from monitor.http.tls import verifying_context
from monitor.model import Phase
from monitor.simulator import CertificateKind, Host, Simulator
from monitor.simulator.faults import Certificate, Hang, TlsMax, TlsVersion
from tests.simulator.proxy import Proxy
from tests.support.raw_server import RawServer, answer, resetting_port

TIMEOUT = 0.6  # seconds
GRACE = 0.25


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One environment, over TLS, on both versions of IP, without latency."""
    with Simulator(["prod"], ipv6=True) as running:
        running.environment("prod").latency = 0.0
        yield running


@pytest.fixture
def wire(simulator: Simulator) -> Iterator[Wire]:
    """One that trusts the simulator; the simulator is well again afterwards."""
    yield Wire(verifying_context(simulator.ca_file))
    simulator.environment("prod").api_faults.clear()


def ping(url: str, timeout: float = TIMEOUT) -> Request:
    """A request to anything."""
    return Request("GET", url, {"User-Agent": "a test", "Connection": "close"}, timeout)


def ask(wire: Wire, data: bytes) -> Exchange:
    """What comes of a request that is answered with these bytes."""
    with RawServer(data) as server:
        return wire.exchange(ping(server.url))


def wait_for_the_reset(sock: socket.socket) -> None:
    """Return when the peer's reset has arrived."""
    poll = select.poll()
    poll.register(sock, select.POLLHUP)
    assert poll.poll(5000)


def test_an_exchange_is_told_whole(wire: Wire, simulator: Simulator) -> None:
    """Status, headers, body, address, TLS version, certificate: all that a Result will want."""
    told = wire.exchange(ping(simulator.environment("prod").api_url + "/api/system/ping"))
    assert (told.fault, told.status, told.tls_version) == (None, 401, "TLSv1.3")
    assert told.address in ("127.0.0.1", "::1")
    assert told.headers["content-type"] == "application/json"
    assert b"submissionId" in told.body
    assert told.certificate_expiry == simulator.certificate_expiry()
    assert told.started_at == pytest.approx(time.time(), abs=5)


def test_the_phases_are_the_whole_of_it(wire: Wire, simulator: Simulator) -> None:
    """In their order, each reached, and their sum is the duration."""
    told = wire.exchange(ping(simulator.environment("prod").api_url))
    assert list(told.phases) == list(Phase)
    assert sum(told.phases.values()) == pytest.approx(told.duration, abs=1e-6)
    assert told.last_phase is Phase.TRANSFER


def test_a_phase_that_was_not_reached_is_not_there(wire: Wire, simulator: Simulator) -> None:
    """Zero would be a lie."""
    simulator.environment("prod").api_faults.set(Hang())
    told = wire.exchange(ping(simulator.environment("prod").api_url, 0.2))
    assert told.fault is Fault.TIMEOUT
    assert list(told.phases) == [Phase.RESOLVE, Phase.CONNECT, Phase.TLS]
    assert 0.2 <= told.duration < 0.2 + GRACE


def test_a_host_may_be_an_address(wire: Wire, simulator: Simulator) -> None:
    """Also one of version 6, in its brackets, and through a proxy."""
    url = simulator.environment("prod").api_url
    with Proxy() as proxy:
        for host in ("127.0.0.1", "[::1]"):
            literal = url.replace("localhost", host)
            assert wire.exchange(ping(literal)).status == 404
            through = Request("GET", literal, {}, TIMEOUT, proxy=_proxy_at(proxy.port))
            assert wire.exchange(through).status == 404
        assert [tunnel.target.rpartition(":")[0] for tunnel in proxy.log] == ["127.0.0.1", "[::1]"]


def _proxy_at(port: int) -> wire_module.Proxy:
    from monitor.config.proxy import ProxySettings

    return ProxySettings("127.0.0.1", port)


def test_a_request_goes_out_in_one_piece(wire: Wire) -> None:
    """With the headers that were given and a Host, and with its content."""
    with RawServer(answer(b"")) as server:
        wire.exchange(Request("POST", server.url + "/x", {"A": "b"}, TIMEOUT, content=b"c=d"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert {b"Content-Length: 3", b"A: b"} <= set(head.split(b"\r\n"))
    assert body == b"c=d"


def test_neither_a_request_nor_an_exchange_shows_what_it_holds() -> None:
    """Headers, bodies and reason phrases can hold secrets."""
    request = Request("POST", "https://host.test", {"Authorization": "Basic canary"}, 1.0, content=b"canary")
    exchange = Exchange(0.0, 0.0, {}, reason_phrase="canary", headers={"x": "canary"}, body=b"canary")
    assert "canary" not in repr((request, exchange))


def test_a_cookie_is_not_kept(wire: Wire) -> None:
    """Each exchange is the first one, for the server."""
    with RawServer(answer(b"", "Set-Cookie: a=b; expires=Fri, 99 Foo 99999999999 00:00:00 GMT")) as server:
        for _ in range(2):
            assert wire.exchange(ping(server.url)).status == 200
    assert all(b"cookie" not in request.lower() for request in server.requests)


@pytest.mark.parametrize("location", ["http://x:abc/", "http://" + "a" * 15000, "\x01", "", "//[", "http://\xff"])
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_to_nowhere_is_an_answer_like_any_other(wire: Wire, status: int, location: str) -> None:
    """A Location is never even looked at: one that is no URL is no fault of ours."""
    told = ask(wire, answer(b"gone", f"Location: {location}", status=status))
    assert told.status == status
    if told.fault is None:
        assert told.body == b"gone"
    assert told.fault in (None, Fault.MALFORMED)


@pytest.mark.parametrize(
    "data,status,fault",
    [
        (b"", None, Fault.DISCONNECT),
        (b"HTTP/1.1 2", None, Fault.DISCONNECT),
        (b"220 smtp.test ESMTP\r\n", None, Fault.DISCONNECT),
        (b"HTTP/2.0 200 OK\r\n\r\n", None, Fault.DISCONNECT),
        (b"x" * 100_000, None, Fault.DISCONNECT),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000, None, Fault.DISCONNECT),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"x"), 200, None),
        (b"HTTP/1.1 200\r\n\r\nx", 200, None),
        (b"HTTP/1.1 999 X\r\n\r\n", 999, None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, 200, Fault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 200, Fault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 200, Fault.DISCONNECT),
        (b"HTTP/1.1 503 X\r\n\r\n" + b"x" * 100_000, 503, Fault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, Fault.MALFORMED),
    ],
)
def test_what_breaks_http_has_a_fault(wire: Wire, data: bytes, status: int | None, fault: Fault | None) -> None:
    """Before a status line it is no HTTP; behind one, the status stays known."""
    told = ask(wire, data)
    assert (told.status, told.fault) == (status, fault)
    assert (told.fault_detail == "") == (fault is None)


EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
LINE = b"HTTP/1.1 401 Bad Request - Invalid Login ID or Password\r\n"
PHRASE = "Bad Request - Invalid Login ID or Password"


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n" + EARLY])
@pytest.mark.parametrize(
    "rest,fault",
    [
        (b"Content-Length: 0\r\n\r\n", None),
        (b"X: y", Fault.DISCONNECT),
        (b"Content-Length: 9\r\n\r\nx", Fault.DISCONNECT),
        (b"Content-Length: x\r\n\r\n", Fault.MALFORMED),
        (b"X: " + b"x" * 100_000, Fault.MALFORMED),
        (b"\r\n" + b"x" * 100_000, Fault.MALFORMED),
    ],
)
def test_the_reason_phrase_is_known_whatever_follows(
    wire: Wire, interim: bytes, rest: bytes, fault: Fault | None
) -> None:
    """A response that breaks after its status line has the phrase of the final status line, as it has the status."""
    exchange = ask(wire, interim + LINE + rest)
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (401, PHRASE, fault)


@pytest.mark.parametrize("interim", [b"", EARLY])
@pytest.mark.parametrize("rest", [b"", b"X: y\r\n", b"Content-Length: 9\r\n\r\nx"])
def test_the_reason_phrase_is_known_if_the_rest_hangs(wire: Wire, interim: bytes, rest: bytes) -> None:
    """A response that stops after its status line times out with status and phrase."""
    released = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def stop_in_the_middle() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(interim + LINE + rest)
                released.wait(30)

        thread = threading.Thread(target=stop_in_the_middle, daemon=True)
        thread.start()
        exchange = wire.exchange(ping(f"http://127.0.0.1:{listening.getsockname()[1]}", 1.0))
        released.set()
        thread.join(5)
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (401, PHRASE, Fault.TIMEOUT)


@pytest.mark.parametrize(
    "line,phrase",
    [
        (b"HTTP/1.1 200", ""),
        (b"HTTP/1.1 200 ", ""),
        (b"HTTP/1.0 200", ""),
        (b"HTTP/1.0 200 OK", "OK"),
        (b"HTTP/1.1 200 na\xefve \xff", "na\u00efve \u00ff"),
        (b"HTTP/1.1 200 " + b"x" * 200, "x" * 200),
        (b"HTTP/1.1 200 " + b"x" * 5000, "x" * 200),
    ],
)
def test_a_reason_phrase_is_latin_1_of_at_most_200_characters(wire: Wire, line: bytes, phrase: str) -> None:
    """A phrase that is missing is empty, and a longer one is cut."""
    exchange = ask(wire, line + b"\r\nContent-Length: 0\r\n\r\n")
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (200, phrase, None)


@pytest.mark.parametrize("data", [b"", EARLY, LINE[:30], EARLY + LINE[:30]])
def test_there_is_no_reason_phrase_without_a_final_status_line(wire: Wire, data: bytes) -> None:
    """An interim response and an unfinished status line have no status and no phrase."""
    exchange = ask(wire, data)
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (None, "", Fault.DISCONNECT)


@pytest.mark.parametrize("over", [False, True])
def test_an_answer_is_read_up_to_the_cap(wire: Wire, *, over: bool) -> None:
    """Its head included; a byte more is too much."""
    size = ANSWER_LIMIT - len(answer(b"x" * 65000)) + 65000
    told = ask(wire, answer(b"x" * (size + over)))
    assert told.fault is (Fault.MALFORMED if over else None)
    if not over:
        assert told.body == b"x" * size


@pytest.mark.parametrize(
    "name,packed,fault",
    [
        ("gzip", gzip.compress(b"words"), None),
        ("X-GZIP", gzip.compress(b"words"), None),
        ("deflate", zlib.compress(b"words"), None),
        ("identity", b"words", None),
        ("gzip", b"", None),
        ("br", b"words", Fault.MALFORMED),
        ("gzip", b"words", Fault.MALFORMED),
        ("gzip", gzip.compress(b"words")[:-9], Fault.MALFORMED),
        ("gzip", gzip.compress(b" " * (ANSWER_LIMIT + 1)), Fault.MALFORMED),
        ("gzip", gzip.compress(b" " * 40_000_000), Fault.MALFORMED),
    ],
)
def test_an_encoding_is_undone_within_the_cap(wire: Wire, name: str, packed: bytes, fault: Fault | None) -> None:
    """Though it was not asked for; what cannot be undone is not passed on as if it were words."""
    told = ask(wire, answer(packed, f"Content-Encoding: {name}"))
    assert told.fault is fault
    assert told.body == (b"words" if fault is None and packed else b"")


def test_a_connection_that_is_reset_before_tls_is_connect(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood, and is gone before we can ask to whom."""
    now = threading.Event()

    run = Race.run

    def run_and_wait(race: Race, deadline: float) -> socket.socket:
        connected = run(race, deadline)
        now.set()
        wait_for_the_reset(connected)
        return connected

    monkeypatch.setattr(Race, "run", run_and_wait)
    with resetting_port(now) as port:
        told = wire.exchange(ping(f"https://127.0.0.1:{port}"))
    assert (told.fault, told.last_phase) == (Fault.CONNECT, Phase.CONNECT)


def test_a_connection_that_is_reset_as_tls_begins_is_tls() -> None:
    """There is no handshake to ask for a certificate, and asking all the same must not raise."""
    now = threading.Event()

    class WaitingContext(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: object, **options: object) -> ssl.SSLSocket:
            now.set()
            wait_for_the_reset(sock)
            return super().wrap_socket(sock, *args, **options)  # type: ignore[arg-type]

    with resetting_port(now) as port:
        told = Wire(WaitingContext(ssl.PROTOCOL_TLS_CLIENT)).exchange(ping(f"https://127.0.0.1:{port}"))
    assert (told.fault, told.last_phase, told.certificate_expiry) == (Fault.TLS, Phase.TLS, None)


@pytest.mark.parametrize("kind", [CertificateKind.EXPIRED, CertificateKind.SELF_SIGNED])
def test_the_end_of_a_certificate_that_fails_is_seen_on_a_second_look(
    wire: Wire, simulator: Simulator, kind: CertificateKind
) -> None:
    """Which believes nothing and sends nothing."""
    environment = simulator.environment("prod")
    environment.api_faults.set(Certificate(kind))
    assert wire.exchange(ping(environment.api_url)).certificate_expiry is None
    before = simulator.log.requests("prod", Host.API)
    assert wire.certificate_expiry(environment.api_url, None, TIMEOUT) == simulator.certificate_expiry(kind)
    assert simulator.log.requests("prod", Host.API) == before


@pytest.mark.parametrize("fault", [Hang(), TlsMax(TlsVersion.TLS_1_0)])
def test_a_second_look_that_sees_nothing_says_so_in_time(
    wire: Wire, simulator: Simulator, fault: Hang | TlsMax
) -> None:
    """None, at its own deadline at the latest."""
    simulator.environment("prod").api_faults.set(fault)
    began = time.monotonic()
    assert wire.certificate_expiry(simulator.environment("prod").api_url, None, 0.2) is None
    assert time.monotonic() - began < 0.2 + GRACE


@pytest.mark.parametrize(
    "said", [b"", b"220 smtp.test ESMTP\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000, b"x" * 100_000]
)
def test_what_a_proxy_breaks_is_the_proxy_s_fault(wire: Wire, said: bytes) -> None:
    """Whatever it is that it says instead of a tunnel."""
    with RawServer(said) as server:
        port = int(server.url.rpartition(":")[2])
        told = wire.exchange(Request("GET", "https://host.test", {}, TIMEOUT, proxy=_proxy_at(port)))
    assert (told.fault, told.last_phase, told.status) == (Fault.PROXY, Phase.CONNECT, None)
    assert "proxy" in told.fault_detail


def test_a_proxy_that_is_not_found_is_the_proxy_s_fault(wire: Wire) -> None:
    """Not that of the host that is meant."""
    from monitor.config.proxy import ProxySettings

    told = wire.exchange(Request("GET", "https://host.test", {}, 5.0, proxy=ProxySettings("nowhere.invalid", 3128)))
    assert (told.fault, told.last_phase) == (Fault.PROXY, Phase.RESOLVE)


def test_a_host_that_takes_no_request_is_a_timeout(wire: Wire) -> None:
    """Sending has no time of its own."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        told = wire.exchange(Request("POST", url, {}, 0.2, content=b"x" * 30_000_000))
    assert (told.fault, told.last_phase) == (Fault.TIMEOUT, Phase.PROCESSING)
    assert told.duration < 0.2 + GRACE


def test_a_reset_while_the_request_is_sent_is_a_disconnect(wire: Wire) -> None:
    """What it breaks is told by the read that follows: there may have been an answer before."""
    now = threading.Event()
    now.set()
    with resetting_port(now) as port:
        request = Request("POST", f"http://127.0.0.1:{port}", {}, 5.0, content=b"x" * 30_000_000)
        assert wire.exchange(request).fault in (Fault.CONNECT, Fault.DISCONNECT)


def test_no_time_at_all_is_a_timeout(wire: Wire, simulator: Simulator) -> None:
    """Nothing is begun that cannot end in time."""
    told = wire.exchange(ping(simulator.environment("prod").api_url, 0.0))
    assert (told.fault, told.last_phase) == (Fault.TIMEOUT, Phase.RESOLVE)


def test_a_header_that_echoes_is_in_no_log(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """The libraries below say nothing of an answer's headers, however loud they are set."""
    for name in ("", "httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    assert ask(wire, answer(b"", "X-Echo: Basic canary-canary")).headers["x-echo"] == "Basic canary-canary"
    assert "canary" not in caplog.text
    assert "canary" not in repr([vars(record) for record in caplog.records])
