"""The request `POST /check`: its body and the status of its response."""

from __future__ import annotations

import json
import threading
import time

import pytest

from monitor.service import check_stream
from monitor.service.check_request import respond
from monitor.service.check_stream import MonitoredChecks
from monitor.service.control import StreamedResponse
from monitor.web.responses import WebResponse
from tests.support.process import PATIENCE

pytestmark = pytest.mark.once


def refusal(checks: MonitoredChecks, body: bytes) -> tuple[int, str]:
    """Return status and text of a response without events."""
    response = respond(checks, body)
    assert isinstance(response, WebResponse)
    return response.status, response.body.decode().strip()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"names": [], "ping_only": true}'])
def test_each_event_is_a_line(body: bytes) -> None:
    """The last one is the end, also if there is no environment."""
    response = respond(MonitoredChecks(list), body)
    assert isinstance(response, StreamedResponse)
    assert response.content_type == "application/x-ndjson"
    lines = b"".join(response.chunks).splitlines()
    assert [json.loads(line) for line in lines] == [{"event": "end", "succeeded": True}]


@pytest.mark.parametrize(
    "body,message",
    [
        (b"[]", "the body must be a JSON object"),
        (b"{", "the body must be a JSON object"),
        (b"\xff", "the body must be a JSON object"),
        (b'{"name": "prod"}', "the body must be a JSON object"),
        (b'{"names": "prod"}', '"names" must be an array of strings'),
        (b'{"names": [1]}', '"names" must be an array of strings'),
        (b'{"names": ["\\ud800"]}', '"names" must be an array of strings'),
        pytest.param(b"[" * 60_000, "the body must be a JSON object", id="deep"),
        (b'{"ping_only": 1}', '"ping_only" must be a boolean'),
        (b'{"names": ["prud"]}', "unknown environment prud; the environments are"),
    ],
)
def test_a_wrong_request_has_status_400(body: bytes, message: str) -> None:
    """The text names the key."""
    status, text = refusal(MonitoredChecks(list), body)
    assert status == 400
    assert text.startswith(message)


def test_a_second_check_has_status_409(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may start when the first has ended."""
    may_end = threading.Event()
    monkeypatch.setattr(check_stream, "run_check", lambda *_: may_end.wait(PATIENCE))
    checks = MonitoredChecks(list)
    first = respond(checks, b"")
    assert refusal(checks, b"") == (409, "another check is in progress; repeat this one when it has ended")
    may_end.set()
    assert isinstance(first, StreamedResponse)
    assert list(first.chunks) == []
    second = respond(checks, b"")
    assert isinstance(second, StreamedResponse)
    assert list(second.chunks) == []


def test_checks_in_a_loop_keep_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in a loop must not send pings as fast as the server responds: 54 in a second were measured."""
    begins: list[float] = []
    ends: list[float] = []

    def run(*_: object) -> None:
        begins.append(time.monotonic())
        ends.append(time.monotonic())

    monkeypatch.setattr(check_stream, "run_check", run)
    checks = MonitoredChecks(list)
    for _ in range(3):
        response = respond(checks, b"")
        assert isinstance(response, StreamedResponse)
        assert list(response.chunks) == []
    assert all(begin - end >= 1.0 for begin, end in zip(begins[1:], ends, strict=False))
