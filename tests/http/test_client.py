"""An exchange is measured at the socket and limited in time and size, and every failure of it is a result."""

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
from monitor.simulator import CertificateVariant, Host, Simulator
from monitor.simulator.faults import Certificate, Hang, TlsMax, TlsVersion
from tests.simulator.proxy import TunnelProxy
from tests.support.raw_server import RawServer, http_response, resetting_port

TIMEOUT = 20.0  # seconds, for exchanges that end by themselves
SHORT = 2.0  # seconds, for exchanges that end at their deadline
LONG = 10.0  # seconds; the limit for work that must not take a whole TIMEOUT


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Provide one environment, over TLS, on both versions of IP, without latency."""
    with Simulator(["prod"], ipv6=True) as running:
        running.environment("prod").latency = 0.0
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[HttpClient]:
    """Provide a client that trusts the simulator, and clear the simulator's faults afterwards."""
    yield HttpClient(verifying_context(simulator.ca_file))
    simulator.environment("prod").api_faults.clear()


def ping(url: str, timeout: float = TIMEOUT) -> HttpRequest:
    """Return a request to `url`."""
    return HttpRequest("GET", url, {"User-Agent": "a test", "Connection": "close"}, timeout)


def ask(client: HttpClient, data: bytes) -> Exchange:
    """Return the exchange with a server that responds with `data`."""
    with RawServer(data) as server:
        return client.exchange(ping(server.url))


def wait_for_reset(sock: socket.socket) -> None:
    """Wait until the peer's reset has arrived."""
    poll = select.poll()
    poll.register(sock, select.POLLHUP)
    assert poll.poll(TIMEOUT * 1000)


def test_an_exchange_holds_the_whole_response(client: HttpClient, simulator: Simulator) -> None:
    """Status, headers, body, address, TLS version and certificate expiry are in the exchange."""
    exchange = client.exchange(ping(simulator.environment("prod").api_url + "/api/system/ping"))
    assert (exchange.fault, exchange.status, exchange.tls_version) == (None, 401, "TLSv1.3")
    assert exchange.address in ("127.0.0.1", "::1")
    assert exchange.headers["content-type"] == "application/json"
    assert b"submissionId" in exchange.body
    assert exchange.certificate_expiry == simulator.certificate_expiry()
    assert exchange.started_at == pytest.approx(time.time(), abs=5)


def test_the_phases_add_up_to_the_duration(client: HttpClient, simulator: Simulator) -> None:
    """An exchange that completes has every phase in order, and their sum is its duration."""
    exchange = client.exchange(ping(simulator.environment("prod").api_url))
    assert list(exchange.phases) == list(Phase)
    assert sum(exchange.phases.values()) == pytest.approx(exchange.duration, abs=1e-6)
    assert exchange.last_phase is Phase.TRANSFER


def test_a_phase_that_was_not_reached_is_absent(client: HttpClient, simulator: Simulator) -> None:
    """An exchange that hangs in the handshake has no later phase, not even with zero seconds."""
    simulator.environment("prod").api_faults.set(Hang())
    exchange = client.exchange(ping(simulator.environment("prod").api_url, SHORT))
    assert exchange.fault is ExchangeFault.TIMEOUT
    assert list(exchange.phases) == [Phase.RESOLVE, Phase.CONNECT, Phase.TLS]
    assert SHORT <= exchange.duration < LONG


def test_a_host_may_be_a_literal_address(client: HttpClient, simulator: Simulator) -> None:
    """IPv4 and IPv6 literals work directly and through a proxy; the latter are in brackets."""
    url = simulator.environment("prod").api_url
    with TunnelProxy() as proxy:
        for host in ("127.0.0.1", "[::1]"):
            literal = url.replace("localhost", host)
            assert client.exchange(ping(literal)).status == 404
            through = HttpRequest("GET", literal, {}, TIMEOUT, proxy=_proxy_at(proxy.port))
            assert client.exchange(through).status == 404
        assert [tunnel.target.rpartition(":")[0] for tunnel in proxy.log] == ["127.0.0.1", "[::1]"]


def _proxy_at(port: int) -> HttpProxy:
    from monitor.config.proxy import ProxySettings

    return ProxySettings("127.0.0.1", port)


def test_a_request_arrives_complete(client: HttpClient) -> None:
    """The request line, the headers of the request, Content-Length and the content arrive together."""
    with RawServer(http_response(b"")) as server:
        client.exchange(HttpRequest("POST", server.url + "/x", {"A": "b"}, TIMEOUT, content=b"c=d"))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert {b"Content-Length: 3", b"A: b"} <= set(head.split(b"\r\n"))
    assert body == b"c=d"


def test_the_repr_of_a_request_or_exchange_shows_no_content() -> None:
    """Headers, bodies and reason phrases can contain secrets, so no `repr` shows them."""
    request = HttpRequest("POST", "https://host.test", {"Authorization": "Basic canary"}, 1.0, content=b"canary")
    exchange = Exchange(0.0, 0.0, {}, reason_phrase="canary", headers={"x": "canary"}, body=b"canary")
    assert "canary" not in repr((request, exchange))


def test_a_cookie_is_not_sent_back(client: HttpClient) -> None:
    """The second request to a server that set a cookie carries no cookie."""
    with RawServer(http_response(b"", "Set-Cookie: a=b; expires=Fri, 99 Foo 99999999999 00:00:00 GMT")) as server:
        for _ in range(2):
            assert client.exchange(ping(server.url)).status == 200
    assert all(b"cookie" not in request.lower() for request in server.requests)


@pytest.mark.parametrize("location", ["http://x:abc/", "http://" + "a" * 15000, "\x01", "", "//[", "http://\xff"])
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_to_an_invalid_location_is_an_ordinary_response(
    client: HttpClient, status: int, location: str
) -> None:
    """The client never parses Location, so an invalid one is at most a malformed response."""
    exchange = ask(client, http_response(b"gone", f"Location: {location}", status=status))
    assert exchange.status == status
    if exchange.fault is None:
        assert exchange.body == b"gone"
    assert exchange.fault in (None, ExchangeFault.MALFORMED)


@pytest.mark.parametrize(
    "data,status,fault",
    [
        (b"", None, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 2", None, ExchangeFault.DISCONNECT),
        (b"220 smtp.test ESMTP\r\n", None, ExchangeFault.DISCONNECT),
        (b"HTTP/2.0 200 OK\r\n\r\n", None, ExchangeFault.DISCONNECT),
        (b"x" * 100_000, None, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000, None, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + http_response(b"x"), 200, None),
        (b"HTTP/1.1 103 X\nA: b\n\nHTTP/1.1 200 OK\n\nx", 200, None),
        (b"HTTP/1.1 200\r\n\r\nx", 200, None),
        (b"HTTP/1.1 999 X\r\n\r\n", 999, None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 16_000, 200, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60_000, 200, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, 200, ExchangeFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", 200, ExchangeFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 200, ExchangeFault.DISCONNECT),
        (b"HTTP/1.1 503 X\r\n\r\n" + b"x" * 100_000, 503, ExchangeFault.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 200, ExchangeFault.MALFORMED),
    ],
)
def test_a_violation_of_http_has_a_fault(
    client: HttpClient, data: bytes, status: int | None, fault: ExchangeFault | None
) -> None:
    """Without a status line the fault is a disconnect; after one, the exchange keeps the status."""
    exchange = ask(client, data)
    assert (exchange.status, exchange.fault) == (status, fault)
    assert (exchange.fault_detail == "") == (fault is None)


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
def test_the_reason_phrase_is_known_if_the_rest_is_broken(
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
        exchange = client.exchange(ping(f"http://127.0.0.1:{listening.getsockname()[1]}", SHORT))
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
def test_a_response_is_read_up_to_the_size_limit(client: HttpClient, *, over: bool) -> None:
    """The limit includes the header section, and one byte above it is a fault."""
    size = MAX_RESPONSE_SIZE - len(http_response(b"x" * 65000)) + 65000
    exchange = ask(client, http_response(b"x" * (size + over)))
    assert exchange.fault is (ExchangeFault.MALFORMED if over else None)
    if not over:
        assert exchange.body == b"x" * size


@pytest.mark.parametrize(
    "name,encoded,fault",
    [
        ("gzip", gzip.compress(b"text", mtime=0), None),
        ("X-GZIP", gzip.compress(b"text", mtime=0), None),
        ("deflate", zlib.compress(b"text"), None),
        ("deflate", zlib.compress(b"text")[2:-4], None),
        ("identity", b"text", None),
        ("UTF-8", b"text", None),
        ("none", b"text", None),
        ("utf-8, GZIP", gzip.compress(b"text", mtime=0), None),
        ("deflate, gzip", gzip.compress(zlib.compress(b"text"), mtime=0), None),
        ("gzip", gzip.compress(b"te", mtime=0) + gzip.compress(b"xt", mtime=0), None),
        ("gzip", gzip.compress(b"text", mtime=0) * 17, ExchangeFault.MALFORMED),
        ("gzip", b"", None),
        ("br", b"text", ExchangeFault.MALFORMED),
        ("zstd", b"text", ExchangeFault.MALFORMED),
        ("gzip, br", b"text", ExchangeFault.MALFORMED),
        ("gzip", b"text", ExchangeFault.MALFORMED),
        ("gzip", gzip.compress(b"text", mtime=0)[:-9], ExchangeFault.MALFORMED),
        ("gzip", gzip.compress(b" " * (MAX_RESPONSE_SIZE + 1), mtime=0), ExchangeFault.MALFORMED),
        ("gzip", gzip.compress(b" " * 40_000_000, mtime=0), ExchangeFault.MALFORMED),
    ],
)
def test_an_encoded_body_is_decoded_up_to_the_size_limit(
    client: HttpClient, name: str, encoded: bytes, fault: ExchangeFault | None
) -> None:
    """A gzip or deflate body is decoded although none was requested; a body that cannot be decoded is dropped."""
    exchange = ask(client, http_response(encoded, f"Content-Encoding: {name}"))
    assert exchange.fault is fault
    assert exchange.body == (b"text" if fault is None and encoded else b"")


def test_a_reset_before_tls_is_a_connect_fault(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection was established, and the peer resets it before its address is read."""
    now = threading.Event()

    connect = ConnectionAttempts.connect

    def connect_and_wait(attempts: ConnectionAttempts, deadline: float) -> socket.socket:
        connected = connect(attempts, deadline)
        now.set()
        wait_for_reset(connected)
        return connected

    monkeypatch.setattr(ConnectionAttempts, "connect", connect_and_wait)
    with resetting_port(now) as port:
        exchange = client.exchange(ping(f"https://127.0.0.1:{port}"))
    assert (exchange.fault, exchange.last_phase) == (ExchangeFault.CONNECT, Phase.CONNECT)


def test_a_reset_at_the_start_of_tls_is_a_tls_fault() -> None:
    """No handshake took place, so there is no certificate, and the attempt to read one raises nothing."""
    now = threading.Event()

    class ContextAfterReset(ssl.SSLContext):
        def wrap_socket(self, sock: socket.socket, *args: object, **options: object) -> ssl.SSLSocket:
            now.set()
            wait_for_reset(sock)
            return super().wrap_socket(sock, *args, **options)  # type: ignore[arg-type]

    with resetting_port(now) as port:
        exchange = HttpClient(ContextAfterReset(ssl.PROTOCOL_TLS_CLIENT)).exchange(ping(f"https://127.0.0.1:{port}"))
    assert (exchange.fault, exchange.last_phase, exchange.certificate_expiry) == (ExchangeFault.TLS, Phase.TLS, None)


@pytest.mark.parametrize("variant", [CertificateVariant.EXPIRED, CertificateVariant.SELF_SIGNED])
def test_the_expiry_of_an_invalid_certificate_is_read_separately(
    client: HttpClient, simulator: Simulator, variant: CertificateVariant
) -> None:
    """An unverified connection reads the expiry, and sends no request."""
    environment = simulator.environment("prod")
    environment.api_faults.set(Certificate(variant))
    assert client.exchange(ping(environment.api_url)).certificate_expiry is None
    before = simulator.log.requests("prod", Host.API)
    assert client.certificate_expiry(environment.api_url, None, TIMEOUT) == simulator.certificate_expiry(variant)
    assert simulator.log.requests("prod", Host.API) == before


@pytest.mark.parametrize("fault", [Hang(), TlsMax(TlsVersion.TLS_1_0)])
def test_an_expiry_that_cannot_be_read_is_none_in_time(
    client: HttpClient, simulator: Simulator, fault: Hang | TlsMax
) -> None:
    """The expiry is None if the handshake fails or its own deadline passes."""
    simulator.environment("prod").api_faults.set(fault)
    began = time.monotonic()
    assert client.certificate_expiry(simulator.environment("prod").api_url, None, SHORT) is None
    assert time.monotonic() - began < LONG


@pytest.mark.parametrize(
    "greeting", [b"", b"220 smtp.test ESMTP\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000, b"x" * 100_000]
)
def test_an_invalid_response_of_a_proxy_is_a_proxy_fault(client: HttpClient, greeting: bytes) -> None:
    """Any other bytes than a response to CONNECT are a proxy fault."""
    with RawServer(greeting) as server:
        port = int(server.url.rpartition(":")[2])
        exchange = client.exchange(HttpRequest("GET", "https://host.test", {}, TIMEOUT, proxy=_proxy_at(port)))
    assert (exchange.fault, exchange.last_phase, exchange.status) == (ExchangeFault.PROXY, Phase.CONNECT, None)
    assert "proxy" in exchange.fault_detail


def test_a_proxy_that_does_not_resolve_is_a_proxy_fault(client: HttpClient) -> None:
    """A proxy name that does not resolve is a proxy fault, not a DNS fault of the host."""
    from monitor.config.proxy import ProxySettings

    exchange = client.exchange(
        HttpRequest("GET", "https://host.test", {}, TIMEOUT, proxy=ProxySettings("nowhere.invalid", 3128))
    )
    assert (exchange.fault, exchange.last_phase) == (ExchangeFault.PROXY, Phase.RESOLVE)


def test_a_host_that_reads_no_request_is_a_timeout(client: HttpClient) -> None:
    """The one deadline also limits the time to send a request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        exchange = client.exchange(HttpRequest("POST", url, {}, SHORT, content=b"x" * 30_000_000))
    assert (exchange.fault, exchange.last_phase) == (ExchangeFault.TIMEOUT, Phase.PROCESSING)
    assert exchange.duration < LONG


def test_a_reset_while_a_request_is_sent_is_a_disconnect(client: HttpClient) -> None:
    """The read after a failed send decides the fault, because the server may have responded before."""
    now = threading.Event()
    now.set()
    with resetting_port(now) as port:
        request = HttpRequest("POST", f"http://127.0.0.1:{port}", {}, TIMEOUT, content=b"x" * 30_000_000)
        assert client.exchange(request).fault in (ExchangeFault.CONNECT, ExchangeFault.DISCONNECT)


def test_a_deadline_that_has_passed_is_a_timeout(client: HttpClient, simulator: Simulator) -> None:
    """A request whose deadline has passed at its start ends in the lookup."""
    exchange = client.exchange(ping(simulator.environment("prod").api_url, 0.0))
    assert (exchange.fault, exchange.last_phase) == (ExchangeFault.TIMEOUT, Phase.RESOLVE)


def test_a_response_header_is_in_no_log(client: HttpClient, caplog: pytest.LogCaptureFixture) -> None:
    """Httpx and httpcore log no response header, not even at level DEBUG."""
    for name in ("", "httpx", "httpcore", "httpcore.http11", "httpcore.connection"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    assert ask(client, http_response(b"", "X-Echo: Basic canary-canary")).headers["x-echo"] == "Basic canary-canary"
    assert "canary" not in caplog.text
    assert "canary" not in repr([vars(record) for record in caplog.records])
