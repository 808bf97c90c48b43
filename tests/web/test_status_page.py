"""The status page over real sockets: routes, validators, renderings and access control."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from monitor.reporting.overview import Overview
from monitor.web import status_page
from monitor.web.server import WebServer
from tests.support.checkout import ROOT
from tests.support.overviews import NOW, FakeReports, make_environment, make_failed_environment, make_overview
from tests.support.web import SESAME, FakePages, WebClient, basic, serving, write

PATHS = ("/", "/fragment", "/style.css", "/script.js")


class CountedReports(FakeReports):
    """Reports that count the calls of `overview`."""

    calls = 0

    def overview(self) -> Overview:
        """Return `current`."""
        self.calls += 1
        return super().overview()


@pytest.fixture
def reports(pages: FakePages) -> CountedReports:
    """Return the reports of the pages."""
    pages.reports = reports = CountedReports()
    return reports


@pytest.fixture
def client(pages: FakePages, reports: CountedReports) -> Iterator[WebClient]:
    """Yield a client of a running server."""
    with serving(pages) as server:
        yield WebClient(server)


@pytest.fixture
def immediate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render at each request."""
    monkeypatch.setattr(status_page, "_RENDER_INTERVAL", 0.0)


@pytest.mark.parametrize(
    "path,content_type", [("/", "text/html"), ("/fragment", "text/html"), ("/style.css", "text/css"),
                          ("/script.js", "text/javascript")]
)  # fmt: skip
def test_each_part_of_the_page_has_its_type(client: WebClient, path: str, content_type: str) -> None:
    """Every part is UTF-8 and has no other source than this server."""
    response, body = client.request(path)
    assert (response.status, response.headers["content-type"]) == (200, f"{content_type}; charset=utf-8")
    assert body
    assert client.request(path, method="HEAD")[1] == b""
    assert client.request(path, method="POST")[0].status == 405


@pytest.mark.parametrize("name", ["style.css", "script.js"])
def test_the_files_are_those_of_the_package(client: WebClient, name: str) -> None:
    """The stylesheet and the script are served unchanged."""
    assert client.request(f"/{name}")[1] == (resources.files("monitor.web.pages") / name).read_bytes()


@pytest.mark.parametrize("path", PATHS)
def test_each_part_is_compressed_for_a_client_that_accepts_it(client: WebClient, path: str) -> None:
    """The compressed body has the content of the uncompressed one."""
    response, body = client.request(path, {"Accept-Encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["vary"] == "accept-encoding"
    assert gzip.decompress(body) == client.request(path)[1]


def test_the_page_contains_the_fragment(client: WebClient) -> None:
    """The first view and the updates have the same content."""
    assert client.request("/fragment")[1] in client.request("/")[1]


@pytest.mark.usefixtures("immediate")
def test_an_unchanged_fragment_is_not_sent_again(client: WebClient, reports: CountedReports) -> None:
    """A client with the current validator gets 304 without a body, and the date from which it counts ages."""
    response, _ = client.request("/fragment")
    validator = {"If-None-Match": f'"x", {response.headers["etag"]}'}
    assert response.headers["date"] == "Sat, 31 Oct 2026 23:06:40 GMT"
    reports.current = replace(reports.current, time=NOW - 60)
    again, body = client.request("/fragment", validator)
    assert (again.status, body, again.headers["date"]) == (304, b"", "Sat, 31 Oct 2026 23:05:40 GMT")
    reports.current = make_overview(make_failed_environment())
    changed, body = client.request("/fragment", validator)
    assert changed.status == 200
    assert b"pings have failed since" in body
    assert changed.headers["etag"] != response.headers["etag"]


@pytest.mark.usefixtures("immediate")
def test_the_page_follows_the_overview(client: WebClient, reports: CountedReports) -> None:
    """A rendering that is too old is not used again."""
    assert b"Every environment works." in client.request("/")[1]
    reports.current = make_overview(make_failed_environment())
    assert b"pings have failed since" in client.request("/")[1]


def test_all_clients_share_one_rendering_per_second(reports: CountedReports) -> None:
    """The overview is read again only after a second, for any number of requests."""
    now = [100.0]
    page = status_page.StatusPage(reports.overview, lambda: None, lambda: now[0])
    nothing = frozenset[str]()
    first = page._refresh(nothing)[1]
    for number in range(50):
        assert page._refresh(frozenset({f"unknown-{number}"}))[1] is first
    page._refresh(frozenset({"environment-prod"}))
    assert reports.calls == 1
    now[0] += 1.0
    again = page._refresh(nothing)[1]
    assert reports.calls == 2
    assert again.fragment is first.fragment  # it need not be compressed again


def test_few_combinations_of_opened_sections_are_kept(reports: CountedReports) -> None:
    """A client cannot fill the memory by asking for each of them."""
    names = [f"e{number}" for number in range(8)]
    reports.current = make_overview(*(make_environment(name) for name in names))
    page = status_page.StatusPage(reports.overview, lambda: None, lambda: 100.0)
    for number in range(2 ** len(names)):
        opened = frozenset(f"environment-{name}" for at, name in enumerate(names) if number >> at & 1)
        _, shown = page._refresh(opened)
        assert shown.content.html.count("Certificate chain") == 2 * len(opened)
    assert len(page._shown) <= status_page._MAX_SHOWN


@pytest.mark.parametrize("path", ["/", "/fragment"])
def test_a_reader_gets_the_details_of_the_sections_that_are_open(client: WebClient, path: str) -> None:
    """Each reader has opened others; what does not exist is ignored."""
    assert b"Certificate chain" not in client.request(path)[1]
    body = client.request(f"{path}?open=environment-uat&open=unknown&other=1&open")[1]
    assert body.count(b"Certificate chain") == 2
    assert b'<details id="environment-uat-details" class="environment" open>' in body


def test_the_link_follows_the_setting(client: WebClient, pages: FakePages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload can change it."""
    monkeypatch.setattr(status_page, "_RENDER_INTERVAL", 0.0)
    assert b"Alertmanager" not in client.request("/")[1]
    pages.alertmanager_url = "https://alerts.example/"
    assert b'href="https://alerts.example/"' in client.request("/")[1]


@pytest.mark.parametrize("path", PATHS)
def test_the_page_is_behind_the_same_access_control_as_the_metrics(path: str, pages: FakePages, tmp_path: Path) -> None:
    """With passwords, nothing is served without one."""
    with serving(pages, write(tmp_path / "web.yml", f"basic_auth_users: {{a: {SESAME}}}")) as server:
        client = WebClient(server)
        response, body = client.request(path)
        assert (response.status, b"environment" in body) == (401, False)
        assert client.status(path, basic("a", "open sesame")) == 200


def test_a_rendering_that_fails_is_an_error_of_that_page_only(
    client: WebClient, pages: FakePages, caplog: pytest.LogCaptureFixture
) -> None:
    """The response has status 500 without the text of the exception, and Prometheus can still scrape."""

    class Broken(FakeReports):
        def overview(self) -> Overview:
            raise ValueError("hush")

    pages.reports = Broken()
    response, body = client.request("/")
    assert (response.status, b"hush" in body) == (500, False)
    assert caplog.messages == ["cannot respond to a request for /"]
    assert client.status("/metrics") == 200


def test_templates_are_loaded_at_the_first_request() -> None:
    """The web server alone loads neither Jinja2 nor the pages."""
    code = "import sys, monitor.service.daemon; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    modules = set(loaded.stdout.split())
    assert "monitor.web.status_page" in modules
    assert not modules & {"jinja2", "markupsafe", "monitor.web.pages", "monitor.web.pages.document"}


def test_a_server_can_be_created_without_a_page(pages: FakePages) -> None:
    """Nothing is rendered before the first request."""
    pages.reports = counted = CountedReports()
    with serving(pages) as server:
        assert isinstance(server, WebServer)
        assert WebClient(server).status("/metrics") == 200
    assert counted.calls == 0
