"""The web server, asked over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from monitor.commands.health import health
from monitor.web import connections as listener
from monitor.web.access import AccessControl, ConnectedClient, Denial
from monitor.web.server import WebServer
from tests.support.process import wait_for
from tests.support.web import SESAME, FakePages, WebClient, basic, serving, write


@pytest.fixture
def pages() -> FakePages:
    """Pages that are well."""
    return FakePages()


@pytest.fixture
def server(pages: FakePages) -> Iterator[WebServer]:
    """A server that runs, on a free port."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    yield server
    server.stop()


def ask(server: WebServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the response and its body, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_metrics_are_rendered_for_what_the_scraper_accepts(server: WebServer) -> None:
    """The Accept header reaches the rendering, and its content type and bytes reach the scraper."""
    response, body = ask(server, "/metrics", Accept="application/openmetrics-text")
    assert (response.status, body) == (200, b"up 1\n")
    assert response.headers["content-type"] == "text/plain; asked=application/openmetrics-text"


def test_head_has_the_length_and_no_body(server: WebServer) -> None:
    """HEAD is GET without the body."""
    response, body = ask(server, "/metrics", "HEAD")
    assert (response.status, response.headers["content-length"], body) == (200, "5", b"")


def test_healthy_names_each_stalled_job(server: WebServer, pages: FakePages) -> None:
    """200 while nothing is stalled, else 503 with a line per job; the health command says the same."""
    assert health("127.0.0.1", server.port, tls=False) == (True, "Healthy")
    pages.stalled_jobs = ["prod: no ping for 5 min", "uat: no login for 1 h"]
    response, body = ask(server, "/-/healthy")
    assert (response.status, body) == (503, b"prod: no ping for 5 min\nuat: no login for 1 h\n")
    assert health("", server.port, tls=False) == (False, body.decode().strip())


def test_ready_names_what_is_waited_for(server: WebServer, pages: FakePages) -> None:
    """503 with what is yet to be tried, then 200."""
    pages.not_tried = ["uat has not been tried yet"]
    response, body = ask(server, "/-/ready")
    assert (response.status, body) == (503, b"uat has not been tried yet\n")
    pages.not_tried = []
    assert ask(server, "/-/ready")[0].status == 200


def test_the_page_links_to_the_others_and_escapes_names(server: WebServer) -> None:
    """The index names the environments as text, never as markup, and may load nothing."""
    response, body = ask(server, "/")
    assert b"<li>prod</li><li>&lt;uat&gt;</li>" in body
    assert b'href="metrics"' in body
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_other_paths_and_methods_are_refused(server: WebServer) -> None:
    """404 for what is not there, 405 with Allow for what is not done."""
    assert ask(server, "/etc/passwd")[0].status == 404
    response, _ = ask(server, "/metrics", "POST")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


def test_a_failing_rendering_costs_that_scrape_and_one_line(
    server: WebServer, pages: FakePages, caplog: pytest.LogCaptureFixture
) -> None:
    """The client learns that it failed, the log learns where, and nobody what the exception says."""
    pages.fault = ValueError("hush")
    response, body = ask(server, "/metrics")
    assert response.status == 500
    assert b"hush" not in body
    assert [r.getMessage()[:51] for r in caplog.records] == ["/metrics could not be answered: ValueError at web_h"]
    pages.fault = None
    assert ask(server, "/metrics")[0].status == 200


def test_a_storm_of_scrapes_shares_renderings(server: WebServer, pages: FakePages) -> None:
    """Fifty scrapes at once are answered from a few renderings."""
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(server, "/metrics")[0].status)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [200] * 50
    assert pages.renderings < 25


def test_silent_clients_delay_no_scrape_and_are_dropped(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred clients that say nothing, or half a request, do not keep a scrape waiting, and are cut off."""
    monkeypatch.setattr(listener, "_TURN_LIMIT", 1.0)
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(200)]
    for client in silent[::2]:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
    began = time.monotonic()
    assert ask(server, "/metrics")[0].status == 200
    assert time.monotonic() - began < 0.9  # before any of them is dropped
    for client in silent:
        try:
            assert client.recv(1) == b""
        except ConnectionResetError:
            pass
        finally:
            client.close()


def test_the_oldest_silent_connection_makes_room(pages: FakePages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more connections may be open, a scrape still gets one."""
    monkeypatch.setattr(listener, "_MOST_CONNECTIONS", 8)
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(30)]
    assert ask(server, "/metrics")[0].status == 200
    server.stop()
    for client in silent:
        client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "", "0.0.0.0", "::", "localhost"])  # noqa: S104 # its subject
def test_every_way_to_write_an_address_is_served(host: str, pages: FakePages) -> None:
    """IPv4, IPv6, every address of both."""
    server = WebServer(host, 0, pages)
    server.start()
    assert health(host, server.port, tls=False) == (True, "Healthy")
    server.stop()


def test_every_address_means_both_families(pages: FakePages) -> None:
    """Without a host both 127.0.0.1 and ::1 are answered."""
    server = WebServer("", 0, pages)
    server.start()
    assert [health(host, server.port, tls=False)[0] for host in ("127.0.0.1", "::1")] == [True, True]
    server.stop()


def test_a_port_in_use_is_told_at_once(server: WebServer, pages: FakePages) -> None:
    """A second server on the port of the first fails before it is started."""
    with pytest.raises(OSError, match="in use"):
        WebServer("127.0.0.1", server.port, pages)


def test_a_server_stops_under_silent_clients(pages: FakePages) -> None:
    """Open connections do not hold up the end, and then nobody listens."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        began = time.monotonic()
        server.stop(2)
        assert time.monotonic() - began < 1.5
    ok, text = health("127.0.0.1", server.port, tls=False)
    assert not ok
    assert "refused" in text


def test_a_head_that_is_too_large_is_refused(server: WebServer) -> None:
    """More than 16 KiB of headers is not a scrape."""
    assert ask(server, "/metrics", Padding="x" * 20_000)[0].status in (400, 431)


def test_a_body_is_not_read(server: WebServer) -> None:
    """Whoever sends one with a request is answered, and the connection is closed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/metrics", body=b"x" * 100)
    response = connection.getresponse()
    assert (response.status, response.headers["connection"]) == (200, "close")
    response.read()
    connection.close()


def test_an_idle_connection_is_kept_for_the_next_scrape(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on a turn is none on the time between two."""
    monkeypatch.setattr(listener, "_TURN_LIMIT", 0.3)
    kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    kept.request("GET", "/metrics")
    kept.getresponse().read()
    sock = kept.sock
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
        assert silent.recv(1) == b""  # its turn is over, and so is that of the other
    kept.request("GET", "/metrics")
    assert kept.getresponse().read() == b"up 1\n"
    assert kept.sock is sock
    kept.close()


def test_a_client_that_does_not_read_is_dropped(
    server: WebServer, pages: FakePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up neither others nor memory for longer than a turn lasts."""
    monkeypatch.setattr(listener, "_TURN_LIMIT", 0.5)
    pages.body = b"x" * 30_000_000
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as lazy:
        lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ask(server, "/-/healthy")[0].status == 200
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
            assert silent.recv(1) == b""  # a turn that began later is over
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := lazy.recv(1_000_000):
                received += len(piece)
    assert received < len(pages.body)


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """For a while, this process can open no file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_server_without_file_descriptors_goes_on_when_there_are_some(
    server: WebServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries again, says so once, and does not spin meanwhile."""
    monkeypatch.setattr(listener, "_NO_FD_PAUSE", 0.02)
    client = socket.socket()
    client.settimeout(10)
    with no_more_files():
        client.connect(("127.0.0.1", server.port))
        wait_for(lambda: caplog.messages, "it is told")
        threading.Event().wait(0.1)  # a few more tries
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 200"
    client.close()
    assert caplog.messages == ["connections to the web server cannot be accepted: Too many open files"]


def test_a_server_without_file_descriptors_stops(pages: FakePages, caplog: pytest.LogCaptureFixture) -> None:
    """Also while it waits for some."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    with socket.socket() as client:
        with no_more_files():
            client.connect(("127.0.0.1", server.port))
            wait_for(lambda: caplog.messages, "it is told")
        server.stop()
    assert not server._thread.is_alive()


def test_nobody_is_dropped_in_the_middle_of_an_answer(
    tmp_path: Path, pages: FakePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every connection there may be waits for an answer, it is the newcomer who goes."""
    monkeypatch.setattr(listener, "_MOST_CONNECTIONS", 8)
    let_go = threading.Event()
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: let_go.wait(20))
    waiting: list[object] = []
    refusal = AccessControl.refusal

    async def counted(guard: AccessControl, visitor: ConnectedClient, path: str, authorization: str) -> Denial | None:
        waiting.append(visitor)
        return await refusal(guard, visitor, path, authorization)

    monkeypatch.setattr(AccessControl, "refusal", counted)
    with serving(pages, write(tmp_path / "web.yml", f"basic_auth_users: {{a: {SESAME}}}")) as server:
        answers: list[int] = []
        askers = [
            threading.Thread(target=lambda: answers.append(WebClient(server).status(headers=basic("a", "b"))))
            for _ in range(8)
        ]
        for asker in askers:
            asker.start()
        wait_for(lambda: len(waiting) == 8, "all wait")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as newcomer:
            assert newcomer.recv(1) == b""
        let_go.set()
        for asker in askers:
            asker.join(10)
    assert answers == [200] * 8


def test_a_server_that_never_started_lets_go_of_its_port(pages: FakePages) -> None:
    """What fails between its creation and its start must not keep the port."""
    server = WebServer("127.0.0.1", 0, pages)
    server.stop()
    WebServer("127.0.0.1", server.port, pages).stop()


def test_a_server_can_be_stopped_twice(pages: FakePages) -> None:
    """And the second time does nothing."""
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    server.stop()
    server.stop()
    assert not server._thread.is_alive()


def test_a_server_that_breaks_is_told(pages: FakePages, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it for ever."""
    server = WebServer("127.0.0.1", 0, pages)
    server._socket.close()
    server.start()
    server.stop()
    assert caplog.messages[0].startswith("the web server has ended: OSError at listener.py:")


def test_what_clients_do_wrong_is_no_concern_of_the_operator(
    server: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage gets 400; what breaks within a connection is told at level debug, without its words."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"\x00\x01 no HTTP\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 400"
    assert caplog.records == []
    caplog.set_level(logging.DEBUG, "monitor.web.server")
    assert server._loop is not None

    def break_down() -> None:
        raise ValueError("hush")

    server._loop.call_soon_threadsafe(break_down)
    wait_for(lambda: caplog.messages, "it is told")
    assert caplog.messages[0].startswith("a connection was given up: ValueError at test_web.py:")
