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

from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import Exchange, HttpProxy, HttpRequest
from monitor.http.happy_eyeballs import ConnectionAttempts
from monitor.http.stream import MAX_RESPONSE_SIZE
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
def client(simulator: Simulator) -> Iterator[HttpClient]:
    """One that trusts the simulator; the simulator is well again afterwards."""
    yield HttpClient(verifying_context(simulator.ca_file))
    simulator.environment("prod").api_faults.clear()


def ping(url: str, timeout: float = TIMEOUT) -> HttpRequest:
    """A request to anything."""
    return HttpRequest("GET", url, {"User-Agent": "a test", "Connection": "close"}, timeout)


def ask(client: HttpClient, data: bytes) -> Exchange:
    """What comes of a request that is answered with these bytes."""
    with RawServer(data) as server:
        return client.exchange(ping(server.url))


def wait_for_the_reset(sock: socket.socket) -> None:
    """Return when the peer's reset has arrived."""
    poll = select.poll()
    poll.register(sock, select.POLLHUP)
    assert poll.poll(5000)


def test_an_exchange_is_told_whole(client: HttpClient, simulator: Simulator) -> None:
    """Status, headers, body, address, TLS version, certificate: all that a Result will want."""
    told = client.exchange(ping(simulator.environment("prod").api_url + "/api/system/ping"))
    assert (told.fault, told.status, told.tls_version) == (None, 401, "TLSv1.3")
    assert told.address in ("127.0.0.1", "::1")
    assert told.headers["content-type"] == "application/json"
    assert b"submissionId" in told.body
    assert told.certificate_expiry == simulator.certificate_expiry()
    assert told.started_at == pytest.approx(time.time(), abs=5)


def test_the_phases_are_the_whole_of_it(client: HttpClient, simulator: Simulator) -> None:
    """In their order, each reached, and their sum is the duration."""
    told = client.exchange(ping(simulator.environment("prod").api_url))
    assert list(told.phases) == list(Phase)
    assert sum(told.phases.values()) == pytest.approx(told.duration, abs=1e-6)
    assert told.last_phase is Phase.TRANSFER


def test_a_phase_that_was_not_reached_is_not_there(client: HttpClient, simulator: Simulator) -> None:
    """Zero would be a lie."""
    simulator.environment("prod").api_faults.set(Hang())
    told = client.exchange(ping(simulator.environment("prod").api_url, 0.2))
    assert told.fault is ExchangeFault.TIMEOUT
    assert list(told.phases) == [Phase.RESOLVE, Phase.CONNECT, Phase.TLS]
    assert 0.2 <= told.duration < 0.2 + GRACE


def test_a_host_may_be_an_address(client: HttpClient, simulator: Simulator) -> None:
    """Also one of version 6, in its brackets, and through a proxy."""
    url = simulator.environment("prod").api_url
    with Proxy() as proxy:
        for host in ("127.0.0.1", "[::1]"):
            literal = url.replace("localhost", host)
            assert client.exchange(ping(literal)).status == 404
            through = HttpRequest("GET", literal, {}, TIMEOUT, proxy=_proxy_at(proxy.port))
            assert client.exchange(through).status == 404
        assert [tunnel.target.rpartition(":")[0] for tunnel in proxy.log] == ["127.0.0.1", "[::1]"]


def _proxy_at(port: int) -> HttpProxy:
    from monitor.config.proxy import Proxy as Setting

    return Setting("127.0.0.1", port)


def test_a_request_goes_out_in_one_piece(client: HttpClient) -> None:
    """With the headers that were given and a Host, and with its content."""
    with RawServer(answer(b"")) as server:
        client.exchange(HttpRequest("POST", server.url + "/x", {"A": "b"}, TIMEOUT, content=b"c=d"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert {b"Content-Length: 3", b"A: b"} <= set(head.split(b"\r\n"))
    assert body == b"c=d"


def test_neither_a_request_nor_an_exchange_shows_what_it_holds() -> None:
    """Headers, bodies and reason phrases can hold secrets."""
    request = HttpRequest("POST", "https://host.test", {"Authorization": "Basic canary"}, 1.0, content=b"canary")
    exchange = Exchange(0.0, 0.0, {}, reason_phrase="canary", headers={"x": "canary"}, body=b"canary")
    assert "canary" not in repr((request, exchange))


def test_a_cookie_is_not_kept(client: HttpClient) -> None:
    """Each exchange is the first one, for the server."""
    with RawServer(answer(b"", "Set-Cookie: a=b; expires=Fri, 99 Foo 99999999999 00:00:00 GMT")) as server:
        for _ in range(2):
            assert client.exchange(ping(server.url)).status == 200
    assert all(b"cookie" not in request.lower() for request in server.requests)


@pytest.mark.parametrize("location", ["http://x:abc/", "http://" + "a" * 15000, "\x01", "", "//[", "http://\xff"])
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_to_nowhere_is_an_answer_like_any_other(client: HttpClient, status: int, location: str) -> None:
    """A Location is never even looked at: one that is no URL is no fault of ours."""
    told = ask(client, answer(b"gone", f"Location: {location}", status=status))
    assert told.status == status
    if told.fault is None:
        assert told.body == b"gone"
    assert told.fault in (None, ExchangeFault.MALFORMED)


@pytest.mark.parametrize(
    "data,status,fault",
    [
        (b"", None, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 2", None, ExchangeFault.DISCONNECT),
        (b"220 smtp.test ESMTP\r\n", None, ExchangeFault.DISCONNECT),
        (b"HTTP/2.0 200 OK\r\n\r\n", None, ExchangeFault.DISCONNECT),
        (b"x" * 100_000, None, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000, None, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"x"), 200, None),
        (b"HTTP/1.1 200\r\n\r\nx", 200, None),
        (b"HTTP/1.1 999 X\r\n\r\n", 999, None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, 200, ExchangeFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 200, ExchangeFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 200, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 503 X\r\n\r\n" + b"x" * 100_000, 503, ExchangeFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, ExchangeFault.MALFORMED),
    ],
)
def test_what_breaks_http_has_a_fault(
    client: HttpClient, data: bytes, status: int | None, fault: ExchangeFault | None
) -> None:
    """Before a status line it is no HTTP; behind one, the status stays known."""
    told = ask(client, data)
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
        (b"X: y", ExchangeFault.DISCONNECT),
        (b"Content-Length: 9\r\n\r\nx", ExchangeFault.DISCONNECT),
        (b"Content-Length: x\r\n\r\n", ExchangeFault.MALFORMED),
        (b"X: " + b"x" * 100_000, ExchangeFault.MALFORMED),
        (b"\r\n" + b"x" * 100_000, ExchangeFault.MALFORMED),
    ],
)
def test_the_reason_phrase_is_known_whatever_follows(
    client: HttpClient, interim: bytes, rest: bytes, fault: ExchangeFault | None
) -> None:
    """A response that breaks after its status line has the phrase of the final status line, as it has the status."""
    exchange = ask(client, interim + LINE + rest)
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (401, PHRASE, fault)


@pytest.mark.parametrize("interim", [b"", EARLY])
@pytest.mark.parametrize("rest", [b"", b"X: y\r\n", b"Content-Length: 9\r\n\r\nx"])
def test_the_reason_phrase_is_known_if_the_rest_hangs(client: HttpClient, interim: bytes, rest: bytes) -> None:
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
        exchange = client.exchange(ping(f"http://127.0.0.1:{listening.getsockname()[1]}", 1.0))
        released.set()
        thread.join(5)
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (401, PHRASE, ExchangeFault.TIMEOUT)


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
def test_a_reason_phrase_is_latin_1_of_at_most_200_characters(client: HttpClient, line: bytes, phrase: str) -> None:
    """A phrase that is missing is empty, and a longer one is cut."""
    exchange = ask(client, line + b"\r\nContent-Length: 0\r\n\r\n")
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (200, phrase, None)


@pytest.mark.parametrize("data", [b"", EARLY, LINE[:30], EARLY + LINE[:30]])
def test_there_is_no_reason_phrase_without_a_final_status_line(client: HttpClient, data: bytes) -> None:
    """An interim response and an unfinished status line have no status and no phrase."""
    exchange = ask(client, data)
    assert (exchange.status, exchange.reason_phrase, exchange.fault) == (None, "", ExchangeFault.DISCONNECT)


@pytest.mark.parametrize("over", [False, True])
def test_an_answer_is_read_up_to_the_cap(client: HttpClient, *, over: bool) -> None:
    """Its head included; a byte more is too much."""
    size = MAX_RESPONSE_SIZE - len(answer(b"x" * 65000)) + 65000
    told = ask(client, answer(b"x" * (size + over)))
    assert told.fault is (ExchangeFault.MALFORMED if over else None)
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
        ("br", b"words", ExchangeFault.MALFORMED),
        ("gzip", b"words", ExchangeFault.MALFORMED),
        ("gzip", gzip.compress(b"words")[:-9], ExchangeFault.MALFORMED),
        ("gzip", gzip.compress(b" " * (MAX_RESPONSE_SIZE + 1)), ExchangeFault.MALFORMED),
        ("gzip", gzip.compress(b" " * 40_000_000), ExchangeFault.MALFORMED),
    ],
)
def test_an_encoding_is_undone_within_the_cap(
    client: HttpClient, name: str, packed: bytes, fault: ExchangeFault | None
) -> None:
    """Though it was not asked for; what cannot be undone is not passed on as if it were words."""
    told = ask(client, answer(packed, f"Content-Encoding: {name}"))
    assert told.fault is fault
    assert told.body == (b"words" if fault is None and packed else b"")


def test_a_connection_that_is_reset_before_tls_is_connect(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stood, and is gone before we can ask to whom."""
    now = threading.Event()

    connect = ConnectionAttempts.connect

    def connect_and_wait(attempts: ConnectionAttempts, deadline: float) -> socket.socket:
        connected = connect(attempts, deadline)
        now.set()
        wait_for_the_reset(connected)
        return connected

    monkeypatch.setattr(ConnectionAttempts, "connect", connect_and_wait)
    with resetting_port(now) as port:
        told = client.exchange(ping(f"https://127.0.0.1:{port}"))
    assert (told.fault, told.last_phase) == (ExchangeFault.CONNECT, Phase.CONNECT)


def test_a_connection_that_is_reset_as_tls_begins_is_tls() -> None:
    """There is no handshake to ask for a certificate, and asking all the same must not raise."""
    now = threading.Event()

    class WaitingContext(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: object, **options: object) -> ssl.SSLSocket:
            now.set()
            wait_for_the_reset(sock)
            return super().wrap_socket(sock, *args, **options)  # type: ignore[arg-type]

    with resetting_port(now) as port:
        told = HttpClient(WaitingContext(ssl.PROTOCOL_TLS_CLIENT)).exchange(ping(f"https://127.0.0.1:{port}"))
    assert (told.fault, told.last_phase, told.certificate_expiry) == (ExchangeFault.TLS, Phase.TLS, None)


@pytest.mark.parametrize("kind", [CertificateKind.EXPIRED, CertificateKind.SELF_SIGNED])
def test_the_end_of_a_certificate_that_fails_is_seen_on_a_second_look(
    client: HttpClient, simulator: Simulator, kind: CertificateKind
) -> None:
    """Which believes nothing and sends nothing."""
    environment = simulator.environment("prod")
    environment.api_faults.set(Certificate(kind))
    assert client.exchange(ping(environment.api_url)).certificate_expiry is None
    before = simulator.log.requests("prod", Host.API)
    assert client.certificate_expiry(environment.api_url, None, TIMEOUT) == simulator.certificate_expiry(kind)
    assert simulator.log.requests("prod", Host.API) == before


@pytest.mark.parametrize("fault", [Hang(), TlsMax(TlsVersion.TLS_1_0)])
def test_a_second_look_that_sees_nothing_says_so_in_time(
    client: HttpClient, simulator: Simulator, fault: Hang | TlsMax
) -> None:
    """None, at its own deadline at the latest."""
    simulator.environment("prod").api_faults.set(fault)
    began = time.monotonic()
    assert client.certificate_expiry(simulator.environment("prod").api_url, None, 0.2) is None
    assert time.monotonic() - began < 0.2 + GRACE


@pytest.mark.parametrize(
    "said", [b"", b"220 smtp.test ESMTP\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000, b"x" * 100_000]
)
def test_what_a_proxy_breaks_is_the_proxy_s_fault(client: HttpClient, said: bytes) -> None:
    """Whatever it is that it says instead of a tunnel."""
    with RawServer(said) as server:
        port = int(server.url.rpartition(":")[2])
        told = client.exchange(HttpRequest("GET", "https://host.test", {}, TIMEOUT, proxy=_proxy_at(port)))
    assert (told.fault, told.last_phase, told.status) == (ExchangeFault.PROXY, Phase.CONNECT, None)
    assert "proxy" in told.fault_detail


def test_a_proxy_that_is_not_found_is_the_proxy_s_fault(client: HttpClient) -> None:
    """Not that of the host that is meant."""
    from monitor.config.proxy import Proxy as Setting

    told = client.exchange(HttpRequest("GET", "https://host.test", {}, 5.0, proxy=Setting("nowhere.invalid", 3128)))
    assert (told.fault, told.last_phase) == (ExchangeFault.PROXY, Phase.RESOLVE)


def test_a_host_that_takes_no_request_is_a_timeout(client: HttpClient) -> None:
    """Sending has no time of its own."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        told = client.exchange(HttpRequest("POST", url, {}, 0.2, content=b"x" * 30_000_000))
    assert (told.fault, told.last_phase) == (ExchangeFault.TIMEOUT, Phase.PROCESSING)
    assert told.duration < 0.2 + GRACE


def test_a_reset_while_the_request_is_sent_is_a_disconnect(client: HttpClient) -> None:
    """What it breaks is told by the read that follows: there may have been an answer before."""
    now = threading.Event()
    now.set()
    with resetting_port(now) as port:
        request = HttpRequest("POST", f"http://127.0.0.1:{port}", {}, 5.0, content=b"x" * 30_000_000)
        assert client.exchange(request).fault in (ExchangeFault.CONNECT, ExchangeFault.DISCONNECT)


def test_no_time_at_all_is_a_timeout(client: HttpClient, simulator: Simulator) -> None:
    """Nothing is begun that cannot end in time."""
    told = client.exchange(ping(simulator.environment("prod").api_url, 0.0))
    assert (told.fault, told.last_phase) == (ExchangeFault.TIMEOUT, Phase.RESOLVE)


def test_a_header_that_echoes_is_in_no_log(client: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    """The libraries below say nothing of an answer's headers, however loud they are set."""
    for name in ("", "httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    assert ask(client, answer(b"", "X-Echo: Basic canary-canary")).headers["x-echo"] == "Basic canary-canary"
    assert "canary" not in caplog.text
    assert "canary" not in repr([vars(record) for record in caplog.records])
