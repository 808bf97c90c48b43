"""The JSON interface: its content, its parameters, its description, and the web server that serves it."""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.log import timestamp
from monitor.model import Endpoint, Phase, Reason, Responsibility, Severity
from monitor.reporting.overview import EndpointState, JournalBusyError, Maintenance, Uptime
from monitor.web import api_threads, connections
from monitor.web.api import JsonInterface
from tests.support.overviews import (
    NOW,
    FakeReports,
    make_endpoint,
    make_environment,
    make_failed_endpoint,
    make_failed_environment,
    make_incident,
    make_overview,
    make_probe,
)
from tests.support.process import PATIENCE, wait_for
from tests.support.web import SESAME, FakePages, WebClient, basic, serving, write

DESCRIPTION: dict[str, Any] = json.loads(files("monitor.web").joinpath("openapi.json").read_text())
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
ENDED = make_incident(16, begin=NOW - 9000.0, end=NOW - 8000.0, last_observed=NOW - 8500.0, decisions=("a", "b"))


@pytest.fixture
def reports() -> FakeReports:
    """Return reports of an environment that fails, one that has just started, and one whose logins have stopped."""
    starting = make_endpoint(
        state=EndpointState.STARTING,
        since=None,
        last=None,
        next_attempt=None,
        certificate_expiry=None,
        chain_expiry=None,
    )
    environments = (
        make_failed_environment("prod", maintenance=(Maintenance(NOW, NOW + 60.0),)),
        make_environment("starting", ping=starting, token_expiry=None, token_lifetime=None, clock_offset=None),
        make_environment(
            "stopped",
            login=make_failed_endpoint(Endpoint.TOKEN, next_attempt=math.inf),
            credentials_rejected=True,
            attempts_left=0,
        ),
    )
    overview = make_overview(*environments, problems=("a job makes no progress",), incidents=(make_incident(), ENDED))
    return FakeReports(overview, [make_incident(), ENDED])


def get(reports: FakeReports, target: str, method: str = "GET") -> tuple[int, Any]:
    """Return status and content of the response."""
    path, _, query = target.partition("?")
    response = JsonInterface(reports).respond(method, f"/api/v1/{path}", query)
    text = response.body.decode()
    return response.status, json.loads(text) if response.content_type == "application/json" else text


def schema_of(path: str) -> dict[str, Any]:
    """Return the schema of the response of a path with status 200."""
    content = DESCRIPTION["paths"][f"/api/v1/{path}"]["get"]["responses"]["200"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def deviations(schema: dict[str, Any], value: object, at: str = "") -> Iterator[str]:
    """Yield the places at which a value is not exactly what its schema describes, additional keys included."""
    if "$ref" in schema:
        schema = DESCRIPTION["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if all([*deviations(each, value, at)] for each in schema["anyOf"]):
            yield at
        return
    if not _has_type(schema, value):
        yield f"{at}: {value!r}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from deviations(schema["items"], item, f"{at}[{number}]")
    if isinstance(value, dict) and "properties" in schema:
        if list(value) != list(schema["properties"]) or schema["required"] != list(schema["properties"]):
            yield f"{at}: keys {[*value]}"
        for name, item in value.items():
            yield from deviations(schema["properties"].get(name, {"type": "null"}), item, f"{at}.{name}")


def _has_type(schema: dict[str, Any], value: object) -> bool:
    """Return whether a value has the type, the format, and a value of the enumeration of its schema."""
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    is_number = "number" in names and isinstance(value, int | float) and not isinstance(value, bool)
    is_time = schema.get("format") != "date-time" or value is None or str(value).endswith("Z")
    is_described = "enum" not in schema or value in schema["enum"]
    return is_time and is_described and (is_number or any(type(value) is TYPES.get(name) for name in names))


PERIOD = "begin=2026-10-01T00:00:00Z&end=2026-11-01T00:00:00Z"


@pytest.mark.parametrize(
    "path,query",
    [("status", ""), ("incidents", ""), ("results", "environment=prod&endpoint=token"), ("availability", PERIOD)],
)
def test_a_response_has_exactly_the_keys_of_the_description(path: str, query: str, reports: FakeReports) -> None:
    """Their types, their order, and the values of enumerations agree, in every state of an endpoint."""
    status, content = get(reports, f"{path}?{query}")
    assert status == 200
    assert list(deviations(schema_of(path), content)) == []


def test_the_comparison_with_the_description_finds_deviations(reports: FakeReports) -> None:
    """A missing key, an additional key, a wrong type and an unknown value are found."""
    _, content = get(reports, "status")
    for change in ({"well": 1}, {"more": 1}, {"time": "2026-10-31T00:00:00"}, {"problems": None}):
        assert list(deviations(schema_of("status"), content | change))
    content["environments"][0]["ping"]["failure"]["reason"] = "else"
    assert list(deviations(schema_of("status"), content))


def test_enumerations_are_those_of_the_model() -> None:
    """The description lists every value in its order."""
    schemas = DESCRIPTION["components"]["schemas"]
    for name, values in {
        "EndpointName": Endpoint, "Reason": Reason, "Phase": Phase, "Responsibility": Responsibility,
        "State": EndpointState,
    }.items():  # fmt: skip
        assert schemas[name]["enum"] == [*values]
    assert schemas["Environment"]["properties"]["severity"]["enum"] == [*Severity]


def test_the_paths_are_those_of_the_description(reports: FakeReports) -> None:
    """Every path gets a response other than 404, and the description is served as it is."""
    assert get(reports, "openapi.json") == (200, DESCRIPTION)
    described = [path.removeprefix("/api/v1/").replace("{id}", "17") for path in DESCRIPTION["paths"]]
    assert sorted(get(reports, path)[0] for path in described) == [200, 200, 200, 200, 400, 400]
    assert get(reports, "else")[0] == 404
    assert get(reports, "")[0] == 404
    assert get(reports, "status", "HEAD")[0] == 200
    assert get(reports, "status", "POST")[0] == 405


def test_times_have_milliseconds_and_infinity_is_no_number(reports: FakeReports) -> None:
    """An endpoint whose logins have stopped has no next attempt and is marked."""
    _, content = get(reports, "status")
    assert content["time"] == "2026-10-31T23:06:40.250Z"
    prod, starting, stopped = content["environments"]
    assert (stopped["login"]["next_attempt"], stopped["login"]["stopped"]) == (None, True)
    assert (starting["ping"]["next_attempt"], starting["ping"]["stopped"]) == (None, False)
    assert (prod["login"]["next_attempt"], prod["login"]["stopped"]) == ("2026-10-31T23:06:58.250Z", False)
    assert prod["maintenance"] == [{"begin": "2026-10-31T23:06:40.250Z", "end": "2026-10-31T23:07:40.250Z"}]


@given(number=st.floats(), time=st.floats())
def test_every_number_becomes_valid_json(number: float, time: float) -> None:
    """Infinity, NaN and times beyond the year 9999 become null."""
    probe = make_probe(started_at=time, duration=number, phases={Phase.TLS: number})
    endpoint = make_endpoint(since=time, last=probe, next_attempt=time, uptimes=(Uptime(number, number, number),))
    status, content = get(FakeReports(make_overview(make_environment(ping=endpoint))), "status")
    assert status == 200
    assert content["environments"][0]["ping"]["last"]["duration_seconds"] == (number if math.isfinite(number) else None)


def test_incidents_can_be_filtered(reports: FakeReports) -> None:
    """Those that had not ended at a time, and those of an environment."""

    def numbers(query: str) -> list[int]:
        status, content = get(reports, f"incidents?{query}")
        assert status == 200
        return [incident["id"] for incident in content["incidents"]]

    assert numbers("") == [17, 16]
    assert numbers(urlencode({"since": timestamp(NOW - 8500.0)})) == [17, 16]
    assert numbers(urlencode({"since": timestamp(NOW - 7000.0)})) == [17]
    assert numbers("environment=uat") == []


def test_results_are_the_history_of_an_endpoint(reports: FakeReports) -> None:
    """They are the oldest first; an unknown environment is 404."""
    _, content = get(reports, "results?environment=prod&endpoint=ping")
    assert len(content["results"]) == 60
    assert content["results"][0]["started_at"] < content["results"][-1]["started_at"]
    assert get(reports, "results?environment=nar&endpoint=ping") == (
        404,
        {"error": "environment: there is no such environment"},
    )


def test_evidence_is_plain_text(reports: FakeReports) -> None:
    """It is that of an incident, or of the current one."""
    assert get(reports, "evidence/16") == (200, reports.texts[16])
    assert get(reports, "evidence/latest") == (200, reports.texts[17])
    for unknown in ("15", "999999999999999999"):
        assert get(reports, f"evidence/{unknown}")[0] == 404


@pytest.mark.parametrize(
    "target,name",
    [
        ("status?x=1", "'x'"),
        ("incidents?since=yesterday", "since"),
        ("incidents?since=2026-10-01", "since"),
        ("incidents?since=2026-10-01T00:00:00", "since"),
        ("incidents?since=2026-13-01T00:00:00Z", "since"),
        ("incidents?since=", "since"),
        ("incidents?since=2026-10-01T00:00:00Z&since=2026-10-01T00:00:00Z", "since"),
        ("incidents?enviroment=prod", "'enviroment'"),
        ("results?endpoint=ping", "environment"),
        ("results?environment=prod", "endpoint"),
        ("results?environment=prod&endpoint=login", "endpoint"),
        ("availability?end=2026-10-01T00:00:00Z", "begin"),
        ("availability?begin=2026-10-01T00:00:00Z", "end"),
        ("availability?begin=2026-10-01T00:00:00Z&end=2026-10-01T00:00:00Z", "end"),
        ("evidence/", "id"),
        ("evidence/x", "id"),
        ("evidence/-1", "id"),
        ("evidence/1/2", "id"),
        ("evidence/1000000000000000000", "id"),
    ],
)
def test_a_wrong_parameter_is_named(target: str, name: str, reports: FakeReports) -> None:
    """The status is 400, with one message that begins with its name."""
    status, content = get(reports, target)
    assert status == 400
    assert content["error"].startswith(f"{name}: ")
    assert "\n" not in content["error"]


@given(st.text())
def test_any_query_gets_a_response(query: str) -> None:
    """It is valid, or an error of the client."""
    for path in ("status", "incidents", "results", "availability"):
        assert get(FakeReports(), f"{path}?{query}")[0] in (200, 400, 404)


@given(
    moment=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001 - the offset is another argument
    minutes=st.integers(-1439, 1439),
)
def test_a_time_with_an_offset_is_understood(moment: datetime, minutes: int) -> None:
    """In RFC 3339, with any offset, in either case."""
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    reports = FakeReports()
    for text in (aware.isoformat(), aware.isoformat().lower()):
        assert get(reports, f"incidents?{urlencode({'since': text})}")[0] == 200
    assert reports.times == [aware.timestamp()] * 2


def test_a_leap_second_is_the_next_second(reports: FakeReports) -> None:
    """RFC 3339 section 5.7 has one."""
    status, _ = get(reports, "incidents?since=2016-12-31T23:59:60Z")
    assert status == 200


def test_a_journal_that_is_busy_is_status_503(reports: FakeReports) -> None:
    """The response says when to try again; the status needs no journal."""
    reports.fault = JournalBusyError()
    for path in ("incidents", "evidence/latest", f"availability?{PERIOD}"):
        target, _, query = path.partition("?")
        response = JsonInterface(reports).respond("GET", f"/api/v1/{target}", query)
        assert response.status == 503
        assert (b"retry-after", b"5") in response.headers
    assert get(reports, "status")[0] == 200


# The web server.


def test_the_web_server_serves_it_behind_its_access_control(tmp_path: Path) -> None:
    """Without a password the status is 401, and other methods are refused."""
    pages = FakePages()
    pages.reports = FakeReports(journal=[make_incident()])
    with serving(pages) as server:
        client = WebClient(server)
        response, body = client.request("/api/v1/incidents?since=2026-10-01T00%3A00%3A00%2B00%3A00")
        assert (response.status, response.getheader("content-type")) == (200, "application/json")
        assert [each["id"] for each in json.loads(body)["incidents"]] == [17]
        assert client.request("/api/v1/evidence/latest")[1].decode() == pages.reports.texts[17]
        assert client.request("/api/v1/status", method="HEAD")[1] == b""
        assert client.request("/api/v1/status", method="POST")[0].status == 405
    with serving(pages, write(tmp_path / "web.yml", f"basic_auth_users: {{alice: {SESAME}}}\n")) as server:
        client = WebClient(server)
        assert client.status("/api/v1/status") == 401
        assert client.status("/api/v1/status", basic("alice", "open sesame")) == 200


def test_a_slow_journal_does_not_delay_other_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests wait in threads, and beyond a limit they are refused."""
    monkeypatch.setattr(connections, "_EXCHANGE_TIMEOUT", PATIENCE)  # a busy machine needs longer for the requests
    pages, proceed = FakePages(), threading.Event()
    waiting = threading.Semaphore(0)

    def slow(since: float | None = None, environment: str | None = None) -> list[Any]:
        waiting.release()
        assert proceed.wait(PATIENCE)
        return []

    pages.reports.incidents = slow  # type: ignore[method-assign]
    with serving(pages) as server, ThreadPoolExecutor(api_threads._MAX_REQUESTS) as clients:
        client = WebClient(server)
        try:
            statuses = [clients.submit(client.status, "/api/v1/incidents") for _ in range(api_threads._MAX_REQUESTS)]
            assert waiting.acquire(timeout=PATIENCE)
            api = server._application._api
            wait_for(lambda: api._requests == api_threads._MAX_REQUESTS, "the limit")
            assert client.status("/api/v1/incidents") == 503
            assert client.status("/-/healthy") == 200
        finally:
            proceed.set()
        assert {status.result(PATIENCE) for status in statuses} == {200}


def test_few_large_responses_wait_for_slow_clients() -> None:
    """A long list is refused while others are held for slow clients, and sent when these have left."""
    pages = FakePages()
    pages.reports.journal = (make_incident(decisions=("x" * 1_000_000,) * 12),)
    with serving(pages) as server:
        client = WebClient(server)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.port))
            slow.sendall(b"GET /api/v1/incidents HTTP/1.1\r\nHost: x\r\n\r\n")
            assert slow.recv(1)
            assert client.status("/api/v1/incidents") == 503
            assert client.status("/api/v1/status") == 200
        wait_for(lambda: client.status("/api/v1/incidents") == 200, "the slow client has left")


def test_the_share_of_nothing_is_unknown() -> None:
    """Without observed time there is no availability."""
    reports = FakeReports()
    reports.uptimes = [replace(each, uptime=Uptime(60.0, 0.0, 0.0)) for each in reports.uptimes]
    _, content = get(reports, f"availability?{PERIOD}")
    assert {each["share"] for each in content["endpoints"]} == {None}
    assert datetime.fromisoformat(content["begin"]) == datetime(2026, 10, 1, tzinfo=UTC)
