"""Tests of the web server over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from monitor.output import failure_period
from monitor.web import connections
from monitor.web.access import AccessControl, ConnectedClient, Denial
from monitor.web.server import WebServer
from tests.support.process import wait_for
from tests.support.web import SESAME, FakePages, WebClient, basic, health, serving, write


@pytest.fixture
def server(pages: FakePages) -> Iterator[WebServer]:
    """Yield a running server on a free port."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    yield server
    server.stop()


def request(
    server: WebServer, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the response and its body; the request has a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_metrics_are_rendered_for_the_accept_header(server: WebServer) -> None:
    """The rendering gets the Accept header, and the scraper gets its content type and bytes."""
    response, body = request(server, "/metrics", Accept="application/openmetrics-text")
    assert (response.status, body) == (200, b"up 1\n")
    assert response.headers["content-type"] == "text/plain; asked=application/openmetrics-text"


def test_head_returns_the_length_without_the_body(server: WebServer) -> None:
    """The response to HEAD has the headers of GET and no body."""
    response, body = request(server, "/metrics", "HEAD")
    assert (response.status, response.headers["content-length"], body) == (200, "5", b"")


def test_healthy_names_each_stalled_job(server: WebServer, pages: FakePages) -> None:
    """The status is 200, or 503 with one line per stalled job, on every address."""
    assert health("127.0.0.1", server.port) == (True, "Healthy")
    pages.stalled_jobs = ["prod: no ping for 5 min", "uat: no login for 1 h"]
    response, body = request(server, "/-/healthy")
    assert (response.status, body) == (503, b"prod: no ping for 5 min\nuat: no login for 1 h\n")
    assert health("", server.port) == (False, body.decode().strip())


def test_ready_names_each_probe_that_has_not_run(server: WebServer, pages: FakePages) -> None:
    """The status is 503 with one line per such probe, and 200 when there is none."""
    pages.not_tried = ["uat has not been tried yet"]
    response, body = request(server, "/-/ready")
    assert (response.status, body) == (503, b"uat has not been tried yet\n")
    pages.not_tried = []
    assert request(server, "/-/ready")[0].status == 200


def test_the_index_links_to_the_pages_and_escapes_names(server: WebServer) -> None:
    """The index shows the names of the environments as text, not as markup, and loads no other resource."""
    response, body = request(server, "/")
    assert b"<li>prod</li><li>&lt;uat&gt;</li>" in body
    assert b'href="metrics"' in body
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_unknown_paths_and_methods_are_rejected(server: WebServer) -> None:
    """An unknown path gets 404, and another method than GET and HEAD gets 405 with Allow."""
    assert request(server, "/etc/passwd")[0].status == 404
    response, _ = request(server, "/metrics", "POST")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


def test_a_failed_rendering_fails_one_scrape_and_is_logged_once(
    server: WebServer, pages: FakePages, caplog: pytest.LogCaptureFixture
) -> None:
    """The response has status 500, the log names the place, and neither contains the text of the exception."""
    pages.fault = ValueError("hush")
    response, body = request(server, "/metrics")
    assert response.status == 500
    assert b"hush" not in body
    assert caplog.messages == ["cannot respond to a request for /metrics"]
    assert vars(caplog.records[0])["monitor_fields"]["fault"].startswith("ValueError at web.py:")
    pages.fault = None
    assert request(server, "/metrics")[0].status == 200


def test_a_page_that_fails_again_and_again_is_logged_at_the_start_and_at_the_end(
    pages: FakePages, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scraper sends requests for years. A success of another page ends nothing."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(failure_period, "MIN_QUIET", 0.0)
    with serving(pages) as server:
        pages.fault = ValueError("hush")
        for _ in range(5):
            assert request(server, "/metrics")[0].status == 500
            assert request(server, "/-/healthy")[0].status == 200
        pages.fault = None
        for _ in range(2):
            assert request(server, "/metrics")[0].status == 200
    assert caplog.messages == ["cannot respond to a request for /metrics", "requests for /metrics get responses again"]
    assert vars(caplog.records[1])["monitor_fields"]["failed"] == 5


def test_requests_for_any_number_of_unknown_pages_that_fail_are_one_line(
    pages: FakePages, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a client does not appear in the log, and a new one adds neither a line nor memory."""

    async def broken(*_: object) -> Denial | None:
        raise ValueError("hush")

    monkeypatch.setattr(AccessControl, "denial", broken)
    with serving(pages, write(tmp_path / "web.yml", "{}")) as server:
        caplog.clear()
        for number in range(5):
            assert request(server, f"/unknown-{number}")[0].status == 500
    assert caplog.messages == ["cannot respond to a request for an unknown page"]


def test_simultaneous_scrapes_share_renderings(pages: FakePages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty scrapes that arrive during a rendering get later renderings, and share a few of them."""
    started, release = threading.Event(), threading.Event()
    render = pages.metrics

    def held(accept: str) -> tuple[str, bytes]:
        started.set()
        assert release.wait(60)
        return render(accept)

    monkeypatch.setattr(pages, "metrics", held)
    with serving(pages) as server:
        clients = [send_scrape(server)]
        assert started.wait(10)
        clients += [send_scrape(server) for _ in range(50)]
        release.set()
        for client in clients:
            with client:
                assert client.recv(12) == b"HTTP/1.1 200"
    assert 2 <= pages.renderings < 10


def send_scrape(server: WebServer) -> socket.socket:
    """Return a connection on which a request for the metrics was sent."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    return client


def send_half_requests(server: WebServer, number: int) -> list[socket.socket]:
    """Return connections of clients that send nothing or half a request."""
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(number)]
    for client in silent[::2]:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
    return silent


def test_silent_clients_delay_no_scrape(server: WebServer) -> None:
    """A scrape gets its response while two hundred incomplete requests are open."""
    silent = send_half_requests(server, 200)
    assert request(server, "/metrics")[0].status == 200
    assert select.select(silent, [], [], 0)[0] == []  # none was dropped to make that possible
    for client in silent:
        client.close()


def test_silent_clients_are_dropped(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server closes a connection without a complete request after the time limit."""
    monkeypatch.setattr(connections, "_EXCHANGE_TIMEOUT", 0.2)
    for client in send_half_requests(server, 50):
        with client, contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_the_oldest_silent_connection_is_dropped_at_the_connection_limit(
    pages: FakePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape gets a connection although silent clients hold the maximum number."""
    monkeypatch.setattr(connections, "_MAX_CONNECTIONS", 8)
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(30)]
    assert request(server, "/metrics")[0].status == 200
    server.stop()
    for client in silent:
        client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "", "0.0.0.0", "::", "localhost"])  # noqa: S104 # its subject
def test_every_form_of_a_listen_address_is_served(host: str, pages: FakePages) -> None:
    """The server listens on IPv4, IPv6 and all addresses."""
    server = WebServer(host, 0, pages)
    server.start()
    assert health(host, server.port) == (True, "Healthy")
    server.stop()


def test_an_empty_host_means_both_address_families(pages: FakePages) -> None:
    """Without a host the server listens on 127.0.0.1 and ::1."""
    server = WebServer("", 0, pages)
    server.start()
    assert [health(host, server.port)[0] for host in ("127.0.0.1", "::1")] == [True, True]
    server.stop()


def test_a_port_in_use_is_an_error_at_creation(server: WebServer, pages: FakePages) -> None:
    """A second server on the same port fails before its start."""
    with pytest.raises(OSError, match="in use"):
        WebServer("127.0.0.1", server.port, pages)


def test_silent_clients_do_not_delay_the_stop(pages: FakePages) -> None:
    """The server stops within its limit despite open connections, and its port is closed afterwards."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10):
        began = time.monotonic()
        server.stop(60)
        assert time.monotonic() - began < 30
    ok, text = health("127.0.0.1", server.port)
    assert not ok
    assert "refused" in text


def test_a_header_section_that_is_too_large_is_rejected(server: WebServer) -> None:
    """A header section of more than 16 KiB gets 400 or 431."""
    assert request(server, "/metrics", Padding="x" * 20_000)[0].status in (400, 431)


def test_a_request_body_is_not_read(server: WebServer) -> None:
    """A request with a body gets a response that announces the close of the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/metrics", body=b"x" * 100)
    response = connection.getresponse()
    assert (response.status, response.headers["connection"]) == (200, "close")
    response.read()
    connection.close()


def test_an_idle_connection_is_kept_for_the_next_scrape(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit of an exchange does not apply to the time between two exchanges."""

    def is_kept(limit: float) -> bool:
        monkeypatch.setattr(connections, "_EXCHANGE_TIMEOUT", limit)
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with contextlib.closing(kept), contextlib.suppress(http.client.HTTPException, OSError):
            kept.request("GET", "/metrics")
            kept.getresponse().read()
            sock = kept.sock
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as silent:
                assert silent.recv(1) == b""  # its exchange began later and is over the limit
            kept.request("GET", "/metrics")
            return kept.getresponse().read() == b"up 1\n" and kept.sock is sock
        return False

    assert is_kept(1.0) or is_kept(10.0)  # an exchange takes more than a second only on a busy machine


def test_a_client_that_does_not_read_is_dropped(
    server: WebServer, pages: FakePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not read its response is dropped at the time limit and delays no other client."""
    monkeypatch.setattr(connections, "_EXCHANGE_TIMEOUT", 1.0)
    pages.body = b"x" * 30_000_000
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as lazy:
        lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_for(lambda: pages.renderings, "the limit of its exchange began")
        monkeypatch.setattr(connections, "_EXCHANGE_TIMEOUT", 60.0)
        assert request(server, "/-/healthy")[0].status == 200
        monkeypatch.setattr(connections, "_EXCHANGE_TIMEOUT", 1.0)
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
            assert silent.recv(1) == b""  # its exchange began later and is over the limit
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while chunk := lazy.recv(1_000_000):
                received += len(chunk)
    assert received < len(pages.body)


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Prevent this process from opening files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_accepting_resumes_when_file_descriptors_are_free_again(
    server: WebServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server retries at intervals, and logs the failure once."""
    monkeypatch.setattr(connections, "_ACCEPT_RETRY_INTERVAL", 0.02)
    starts: list[object] = []
    start = connections.WebListener.start

    def counted(listener: connections.WebListener) -> None:
        starts.append(listener)
        start(listener)

    monkeypatch.setattr(connections.WebListener, "start", counted)
    client = socket.socket()
    client.settimeout(10)
    with no_more_files():
        client.connect(("127.0.0.1", server.port))
        wait_for(lambda: caplog.messages, "a log record")
        wait_for(lambda: len(starts) >= 3, "three retries")
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 200"
    client.close()
    assert caplog.messages == ["the web server cannot accept connections: Too many open files"]


def test_a_period_of_failed_accepts_is_logged_once_at_its_start_and_end(
    server: WebServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An accept that succeeds between failures neither ends the period nor begins another one."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(connections, "_ACCEPT_RETRY_INTERVAL", 0.02)
    monkeypatch.setattr(connections, "_ACCEPT_RECOVERY_INTERVAL", 3.0)
    failures: list[object] = []
    start = connections.WebListener.start

    def counted(listener: connections.WebListener) -> None:
        failures.append(listener)
        start(listener)

    monkeypatch.setattr(connections.WebListener, "start", counted)
    for number in range(3):
        with socket.socket() as client:
            client.settimeout(10)
            with no_more_files():
                client.connect(("127.0.0.1", server.port))
                wait_for(lambda number=number: len(failures) > number, "a failed accept")  # type: ignore[misc]
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
    wait_for(lambda: len(caplog.messages) == 2, "the end of the period")
    assert caplog.messages == [
        "the web server cannot accept connections: Too many open files",
        "the web server accepts all connections again",
    ]


def test_a_server_without_file_descriptors_can_be_stopped(pages: FakePages, caplog: pytest.LogCaptureFixture) -> None:
    """The stop ends the wait for a file descriptor."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    with socket.socket() as client:
        with no_more_files():
            client.connect(("127.0.0.1", server.port))
            wait_for(lambda: caplog.messages, "a log record")
        server.stop()
    assert not server._thread.is_alive()


def test_no_connection_is_dropped_before_its_response(
    tmp_path: Path, pages: FakePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If every connection is busy at the limit, the new connection is closed."""
    monkeypatch.setattr(connections, "_MAX_CONNECTIONS", 8)
    release = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: release.wait(60))
    waiting: list[object] = []
    denial = AccessControl.denial

    async def counted(access: AccessControl, client: ConnectedClient, authorization: str) -> Denial | None:
        waiting.append(client)
        return await denial(access, client, authorization)

    monkeypatch.setattr(AccessControl, "denial", counted)
    with serving(pages, write(tmp_path / "web.yml", f"basic_auth_users: {{a: {SESAME}}}")) as server:
        statuses: list[int] = []
        clients = [
            threading.Thread(target=lambda: statuses.append(WebClient(server).status(headers=basic("a", "b"))))
            for _ in range(8)
        ]
        for client in clients:
            client.start()
        wait_for(lambda: len(waiting) == 8, "eight waiting requests")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as further:
            assert further.recv(1) == b""
        release.set()
        for client in clients:
            client.join(60)
    assert statuses == [200] * 8


def test_stop_before_start_frees_the_port(pages: FakePages) -> None:
    """A server that was never started releases its port."""
    server = WebServer("127.0.0.1", 0, pages)
    server.stop()
    WebServer("127.0.0.1", server.port, pages).stop()


def test_a_server_can_be_stopped_twice(pages: FakePages) -> None:
    """The second stop does nothing."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    server.stop()
    server.stop()
    assert not server._thread.is_alive()


def test_the_unexpected_end_of_the_server_is_logged(pages: FakePages, caplog: pytest.LogCaptureFixture) -> None:
    """The stop returns, and the log has an error, if the server thread fails."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    assert server._loop is not None
    server._loop.call_soon_threadsafe(server._loop.stop)
    wait_for(lambda: caplog.messages, "a log record")
    server.stop()
    assert caplog.messages[0].startswith("the web server stopped unexpectedly: RuntimeError at base_events.py:")


def test_a_server_that_cannot_start_raises_the_cause(pages: FakePages) -> None:
    """A daemon without pages does not start, and the stop of such a server returns."""
    server = WebServer("127.0.0.1", 0, pages)
    server._socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        server.start()
    server.stop()


def test_errors_of_clients_are_not_logged_above_debug(server: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    """An invalid request gets 400, and an error in a connection is logged at level debug without its text."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"\x00\x01 no HTTP\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 400"
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "monitor.web.server")
    assert server._loop is not None

    def break_down() -> None:
        raise ValueError("hush")

    server._loop.call_soon_threadsafe(break_down)
    wait_for(lambda: caplog.messages, "a log record")
    assert caplog.messages[0].startswith("connection dropped: ValueError at test_server.py:")
