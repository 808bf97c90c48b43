"""The web server, asked over real sockets."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from monitor import listener
from monitor.health import health
from monitor.web import Server


class Pages:
    """Pages whose content a test sets."""

    def __init__(self) -> None:
        self.renderings = 0
        self.stalled_jobs: list[str] = []
        self.not_tried: list[str] = []
        self.fault: Exception | None = None

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Say what was asked for, or fail as told."""
        self.renderings += 1
        if self.fault is not None:
            raise self.fault
        return f"text/plain; asked={accept or 'nothing'}", b"up 1\n"

    def stalled(self) -> list[str]:
        """The stalled jobs."""
        return self.stalled_jobs

    def waiting(self) -> list[str]:
        """What was not tried."""
        return self.not_tried

    def index(self) -> list[str]:
        """Two names, one of them hostile."""
        return ["prod", "<uat>"]


@pytest.fixture
def pages() -> Pages:
    """Pages that are well."""
    return Pages()


@pytest.fixture
def server(pages: Pages) -> Iterator[Server]:
    """A server that runs, on a free port."""
    server = Server("127.0.0.1", 0, pages)
    server.start()
    yield server
    server.stop()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    """Return the response and its body, over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_metrics_are_rendered_for_what_the_scraper_accepts(server: Server) -> None:
    """The Accept header reaches the rendering, and its content type and bytes reach the scraper."""
    response, body = ask(server, "/metrics", Accept="application/openmetrics-text")
    assert (response.status, body) == (200, b"up 1\n")
    assert response.headers["content-type"] == "text/plain; asked=application/openmetrics-text"


def test_head_has_the_length_and_no_body(server: Server) -> None:
    """HEAD is GET without the body."""
    response, body = ask(server, "/metrics", "HEAD")
    assert (response.status, response.headers["content-length"], body) == (200, "5", b"")


def test_healthy_names_each_stalled_job(server: Server, pages: Pages) -> None:
    """200 while nothing is stalled, else 503 with a line per job; the health command says the same."""
    assert health("127.0.0.1", server.port, tls=False) == (True, "Healthy")
    pages.stalled_jobs = ["prod: no ping for 5 min", "uat: no login for 1 h"]
    response, body = ask(server, "/-/healthy")
    assert (response.status, body) == (503, b"prod: no ping for 5 min\nuat: no login for 1 h\n")
    assert health("", server.port, tls=False) == (False, body.decode().strip())


def test_ready_names_what_is_waited_for(server: Server, pages: Pages) -> None:
    """503 with what is yet to be tried, then 200."""
    pages.not_tried = ["uat has not been tried yet"]
    response, body = ask(server, "/-/ready")
    assert (response.status, body) == (503, b"uat has not been tried yet\n")
    pages.not_tried = []
    assert ask(server, "/-/ready")[0].status == 200


def test_the_page_links_to_the_others_and_escapes_names(server: Server) -> None:
    """The index names the environments as text, never as markup, and may load nothing."""
    response, body = ask(server, "/")
    assert b"<li>prod</li><li>&lt;uat&gt;</li>" in body
    assert b'href="metrics"' in body
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_other_paths_and_methods_are_refused(server: Server) -> None:
    """404 for what is not there, 405 with Allow for what is not done."""
    assert ask(server, "/etc/passwd")[0].status == 404
    response, _ = ask(server, "/metrics", "POST")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


def test_a_failing_rendering_costs_that_scrape_and_one_line(
    server: Server, pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    """The client learns that it failed, the log learns where, and nobody what the exception says."""
    pages.fault = ValueError("hush")
    response, body = ask(server, "/metrics")
    assert response.status == 500
    assert b"hush" not in body
    assert [r.getMessage()[:51] for r in caplog.records] == ["/metrics could not be answered: ValueError at test_"]
    pages.fault = None
    assert ask(server, "/metrics")[0].status == 200


def test_a_storm_of_scrapes_shares_renderings(server: Server, pages: Pages) -> None:
    """Fifty scrapes at once are answered from a few renderings."""
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(server, "/metrics")[0].status)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [200] * 50
    assert pages.renderings < 25


def test_silent_clients_delay_no_scrape_and_are_dropped(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_oldest_silent_connection_makes_room(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no more connections may be open, a scrape still gets one."""
    monkeypatch.setattr(listener, "_MOST_CONNECTIONS", 8)
    server = Server("127.0.0.1", 0, pages)
    server.start()
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(30)]
    assert ask(server, "/metrics")[0].status == 200
    server.stop()
    for client in silent:
        client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "", "0.0.0.0", "::", "localhost"])  # noqa: S104 # its subject
def test_every_way_to_write_an_address_is_served(host: str, pages: Pages) -> None:
    """IPv4, IPv6, every address of both."""
    server = Server(host, 0, pages)
    server.start()
    assert health(host, server.port, tls=False) == (True, "Healthy")
    server.stop()


def test_every_address_means_both_families(pages: Pages) -> None:
    """Without a host both 127.0.0.1 and ::1 are answered."""
    server = Server("", 0, pages)
    server.start()
    assert [health(host, server.port, tls=False)[0] for host in ("127.0.0.1", "::1")] == [True, True]
    server.stop()


def test_a_port_in_use_is_told_at_once(server: Server, pages: Pages) -> None:
    """A second server on the port of the first fails before it is started."""
    with pytest.raises(OSError, match="in use"):
        Server("127.0.0.1", server.port, pages)


def test_a_server_stops_under_silent_clients(pages: Pages) -> None:
    """Open connections do not hold up the end, and then nobody listens."""
    server = Server("127.0.0.1", 0, pages)
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5):
        began = time.monotonic()
        server.stop(2)
        assert time.monotonic() - began < 1.5
    ok, text = health("127.0.0.1", server.port, tls=False)
    assert not ok
    assert "refused" in text


def test_a_head_that_is_too_large_is_refused(server: Server) -> None:
    """More than 16 KiB of headers is not a scrape."""
    assert ask(server, "/metrics", Padding="x" * 20_000)[0].status in (400, 431)
