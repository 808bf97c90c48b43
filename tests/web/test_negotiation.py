"""Content negotiation of /metrics: every request gets metrics, in a format and an encoding that it accepts."""

from __future__ import annotations

import gzip
import http.client
import string
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.reporting.metrics import Metrics
from monitor.web.negotiation import accepts_gzip, metrics_format
from monitor.web.server import WebServer
from tests.support.web import FakePages

OPENMETRICS, TEXT = "application/openmetrics-text", "text/plain"
PROMETHEUS = (
    f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.6,{OPENMETRICS};version=0.0.1;q=0.5,"
    f"{TEXT};version=1.0.0;escaping=allow-utf-8;q=0.4,{TEXT};version=0.0.4;q=0.3,*/*;q=0.2"
)


class MetricsPages(FakePages):
    """Pages with the metrics of a monitor."""

    rendered = Metrics()

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return the metrics."""
        return self.rendered.render(accept)


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """Yield a running server with real metrics."""
    server = WebServer("127.0.0.1", 0, MetricsPages())
    server.start()
    yield server
    server.stop()


def get(server: WebServer, *fields: tuple[str, str], method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    """Return the response for these header fields, which are sent as they are, and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, "/metrics", skip_accept_encoding=True)
    for name, value in fields:
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


media_types = st.sampled_from([OPENMETRICS, TEXT, "*/*", "text/*", "text/html", OPENMETRICS.upper(), "", "/", "a"])
names = st.sampled_from(["version", "escaping", "q", "charset", "", "Q", "VERSION "])
texts = st.text(string.ascii_letters + string.digits + string.punctuation + " \t\xe4", max_size=8)
parameter_values = (
    st.sampled_from(["1.0.0", '"1.0.0"', "0.0.4", "0.0.1", "2.0.0", "1", "1.0.0.0.0", "1.0.0rc1", "v1", "1..0", "-1"])
    | st.sampled_from(["allow-utf-8", "dots", "0.5", "0", "1e9", "nan", "-1", "", '"', "9" * 400])
    | texts
)
ranges = st.tuples(media_types, st.lists(st.tuples(names, parameter_values), max_size=4)).map(
    lambda each: ";".join([each[0], *(f"{name}={value}" for name, value in each[1])])
)
accepts = st.lists(ranges | texts, max_size=6).map(",".join)


def is_complete(body: bytes) -> bool:
    """Return whether a body has the metrics of a monitor."""
    return b"\n# TYPE tigr_up gauge\n" in body and b"\npython_info{" in body


@given(st.lists(accepts, max_size=3), st.lists(texts, max_size=2))
def test_any_accept_fields_get_metrics(server: WebServer, values: list[str], encodings: list[str]) -> None:
    """Quoted and odd versions, qualities, garbage and several fields included."""
    fields = [("Accept", value.strip()) for value in values]
    fields += [("Accept-Encoding", value.strip()) for value in encodings]
    response, body = get(server, *fields)
    assert response.status == 200
    content_type = response.headers["content-type"]
    assert content_type.startswith((f"{OPENMETRICS}; version=1.0.0", f"{TEXT}; version="))
    if response.headers["content-encoding"] == "gzip":
        body = gzip.decompress(body)
    assert is_complete(body)
    assert body.endswith(b"# EOF\n") == content_type.startswith(OPENMETRICS)


@pytest.mark.parametrize(
    "accept,expected",
    [
        ("", ""),
        (PROMETHEUS, f"{OPENMETRICS};version=1.0.0;escaping=allow-utf-8"),
        (OPENMETRICS, OPENMETRICS),
        (f"{OPENMETRICS}; version=1.0.0; charset=utf-8", f"{OPENMETRICS};version=1.0.0"),
        (f'{OPENMETRICS}; version="1.0.0"', f"{OPENMETRICS};version=1.0.0"),
        (f"{OPENMETRICS.upper()};VERSION=1.0.0", f"{OPENMETRICS};version=1.0.0"),
        (f"{OPENMETRICS};version=0.0.1", ""),
        (f"{OPENMETRICS};version=2.0.0,{TEXT};version=1.0.0;q=0.1", f"{TEXT};version=1.0.0"),
        (f"{OPENMETRICS};version=1.0.0;q=0.3,{TEXT};version=0.0.4;q=0.5", ""),
        (f"{TEXT};version=0.0.4;q=0.3,{OPENMETRICS};version=1.0.0;q=0.5", f"{OPENMETRICS};version=1.0.0"),
        (f"{OPENMETRICS};q=0", ""),
        (f"{TEXT};version=1.0.0;escaping=dots", f"{TEXT};version=1.0.0;escaping=dots"),
        (f"{TEXT};version=1.0.0;escaping=none", f"{TEXT};version=1.0.0"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ""),
        ("image/png", ""),
    ],
)
def test_the_format_with_the_highest_quality_is_chosen(accept: str, expected: str) -> None:
    """Of equal qualities the first counts; without a known format it is the text format 0.0.4."""
    assert metrics_format(accept) == expected


def test_several_accept_fields_are_one_list(server: WebServer) -> None:
    """The best format may be in any of them."""
    fields = [("Accept", TEXT), ("Accept", "image/png"), ("Accept", f"{OPENMETRICS};version=1.0.0;q=0.9")]
    for each in (fields, fields[::-1]):
        assert get(server, *each)[0].headers["content-type"].startswith(f"{TEXT}; version=0.0.4")
        formats = [field for field in each if field[1] != TEXT]
        assert get(server, *formats)[0].headers["content-type"].startswith(OPENMETRICS)


@pytest.mark.parametrize("length", [16_000])
@pytest.mark.parametrize("unit", [",", ";", '"', '\\"', f"{TEXT},", "a=b;", "q=0.5;,"])
def test_a_long_field_costs_no_more_than_its_length(unit: str, length: int) -> None:
    """A field is read once, and its first items only."""
    assert metrics_format((unit * length)[:length]) == ""
    assert not accepts_gzip((unit * length)[:length])


@pytest.mark.parametrize(
    "accepted,expected",
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, *;q=0.6", True),
        ("br, zstd", False),
    ],
)
def test_gzip_is_used_if_it_is_asked_for(server: WebServer, accepted: str, expected: bool) -> None:  # noqa: FBT001
    """The compressed body is much shorter and has the same content, and HEAD has its length."""
    assert accepts_gzip(accepted) == expected
    response, body = get(server, ("Accept-Encoding", accepted))
    assert (response.headers["content-encoding"] == "gzip") == expected
    assert response.headers["vary"] == "accept, accept-encoding"
    assert is_complete(gzip.decompress(body) if expected else body)
    plain = get(server)[1]
    assert (len(body) < len(plain) / 2) == expected
    head = get(server, ("Accept-Encoding", accepted), method="HEAD")[0]
    assert head.headers["content-encoding"] == response.headers["content-encoding"]


def test_other_pages_are_not_compressed(server: WebServer) -> None:
    """They are short."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("GET", "/-/healthy", headers={"Accept-Encoding": "gzip"})
    response = connection.getresponse()
    assert (response.read(), response.headers["content-encoding"]) == (b"Healthy\n", None)
    connection.close()
