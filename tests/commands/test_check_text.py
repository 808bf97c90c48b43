"""The text of a check: its lines, marks and widths."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import TextIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import Clock
from monitor.commands.check_text import CheckText
from monitor.commands.layout import MAX_WIDTH, Style
from monitor.commands.marks import Mark, Marks, marks_for
from monitor.http.exchange import PhaseEnd
from monitor.model import Endpoint, FieldNames, Phase, Reason, Result, Role
from monitor.reporting.check_events import (
    CheckEvent,
    certificate_event,
    request_event,
    response_event,
    result_event,
    step_event,
)
from monitor.tigr.observation import RequestBegin
from tests.support.results import make_result, vary
from tests.test_documentation import LOGIN, TOKEN

pytestmark = pytest.mark.once

DAY = 86400.0
NOW = 1_800_000_000.0
CLOCK = Clock(now=lambda: 0.0, wall=lambda: NOW)
URL = "https://api.example/ClientAPI/api/system/ping"
PHASES = {Phase.RESOLVE: 0.001, Phase.CONNECT: 0.002, Phase.TLS: 0.003, Phase.PROCESSING: 0.02, Phase.TRANSFER: 0.001}
PING = make_result(Endpoint.PING, status=200, phases=PHASES, duration=0.027, clock_offset=0.012)


def lines(events: Iterable[CheckEvent], style: Style | None = None, *, is_ascii: bool = False) -> list[str]:
    """Return the lines of these events."""
    text = CheckText(style or Style(), Marks(is_ascii=is_ascii), CLOCK)
    return [line for event in events for line in text.lines(event)]


def sent(result: Result, *, has_token: bool = True) -> list[CheckEvent]:
    """Return the events of a request that has ended, and of its Result."""
    return [response_event(result, URL, has_token=has_token, was_sent=True), result_event(result, URL)]


def test_an_unknown_party_is_not_probable() -> None:
    """`probably unknown` has no meaning."""
    text = "\n".join(lines(sent(make_result(Endpoint.PING, reason=Reason.RATE_LIMITED, status=429))))
    assert "Responsible: unknown" in text


def test_each_step_is_a_line_with_what_was_learned() -> None:
    """Address, TLS version, certificate, status, token and clock."""
    begin = RequestBegin(Endpoint.TOKEN, "https://login.example:8443/token", FieldNames.DOCUMENTED)
    tls = PhaseEnd(Phase.TLS, 0.0012, "192.0.2.7", "TLSv1.3", NOW + 57.5 * DAY, NOW + 20.5 * DAY)
    login = vary(LOGIN, phases=PHASES, token=replace(TOKEN, lifetime=3600.0))
    events: list[CheckEvent] = [
        request_event("prod", begin),
        step_event("prod", PhaseEnd(Phase.RESOLVE, 0.0031)),
        step_event("prod", PhaseEnd(Phase.CONNECT, 1.5, "192.0.2.7")),
        step_event("prod", tls),
        step_event("prod", PhaseEnd(Phase.PROCESSING, 0.02, "192.0.2.7")),
        *sent(login),
        *sent(PING),
    ]
    assert lines(events) == [
        "prod: login at login.example:8443, with Username/Password",
        "  ✓ lookup      3.1 ms",
        "  ✓ connect     1.50 s  192.0.2.7",
        "  ✓ TLS         1.2 ms  TLSv1.3, certificate valid for 57 days, its chain valid for 20 days",
        "  ✓ login      21.0 ms  status 200",
        "  ✓ token               valid for 1h",
        "  ✓ ping       21.0 ms  status 200, its clock is 12.0 ms ahead of ours",
    ]


def test_the_address_behind_a_proxy_is_named_as_the_proxys() -> None:
    """The connection reaches the proxy only."""
    begin = RequestBegin(Endpoint.PING, URL, has_token=True, has_proxy=True)
    step = step_event("prod", PhaseEnd(Phase.CONNECT, 0.001, "192.0.2.1"))
    assert lines([request_event("prod", begin), step])[1] == "  ✓ connect     1.0 ms  to the proxy 192.0.2.1"


@pytest.mark.parametrize(
    "phase,reason,name,time",
    [
        (Phase.RESOLVE, Reason.DNS, "lookup", "1.0 ms"),
        (Phase.CONNECT, Reason.CONNECT, "connect", "2.0 ms"),
        (Phase.TLS, Reason.CERTIFICATE, "TLS", "3.0 ms"),
        (Phase.PROCESSING, Reason.TIMEOUT, "ping", "20.0 ms"),
        (Phase.TRANSFER, Reason.MALFORMED, "ping", "21.0 ms"),
    ],
)
def test_a_failure_is_in_the_line_of_its_step(phase: Phase, reason: Reason, name: str, time: str) -> None:
    """Its reason follows, then the explanation with the responsible party and the next step."""
    reached = list(Phase)[: list(Phase).index(phase) + 1]
    failed = make_result(
        Endpoint.PING, reason=reason, failed_phase=phase, phases={each: PHASES[each] for each in reached}, detail="text"
    )
    first, *more = lines(sent(failed))
    assert first.split() == ["✗", name, *time.split(), reason.value]
    labels = [line.split(":")[0].strip() for line in more if not line.startswith("      ")]
    assert labels == ["Detail", "Responsible", "Means", "Next"]


def test_a_refused_login_warns_of_what_makes_it_worse() -> None:
    """The attempts left and the forbidden steps are printed."""
    refused = make_result(
        Endpoint.TOKEN,
        reason=Reason.UNAUTHORIZED,
        status=401,
        refused=True,
        credentials_rejected=True,
        attempts_left=1,
        suppressed_until=NOW,
        field_names=FieldNames.DOCUMENTED,
    )
    text = " ".join(" ".join(lines(sent(refused))).split())
    assert "1 more request with these credentials before logins stop" in text
    assert "Next: Do not log in by hand" in text
    assert " do not restart the monitor, delete its state directory or repeat the check: " in text
    assert "Responsible: probably our credentials" in text


def test_a_login_that_does_not_decide_is_marked() -> None:
    """If the first of two refusals decides, the explanation names its field names."""
    first = make_result(
        Endpoint.TOKEN, reason=Reason.UNAUTHORIZED, status=401, refused=True, field_names=FieldNames.DOCUMENTED
    )
    second = vary(first, field_names=FieldNames.RFC6749)
    events: list[CheckEvent] = [
        request_event("prod", RequestBegin(Endpoint.TOKEN, URL, FieldNames.DOCUMENTED)),
        response_event(first, URL, has_token=False, was_sent=True),
        request_event("prod", RequestBegin(Endpoint.TOKEN, URL, FieldNames.RFC6749)),
        response_event(second, URL, has_token=False, was_sent=True),
        result_event(second.with_role(Role.RETRIED), URL),
        result_event(first, URL),
    ]
    text = lines(events)
    assert "    Not decisive: the login with username/password; the one with the other field names decides" in text
    assert "    Decisive: the request with Username/Password" in text


@pytest.mark.parametrize(
    "result,line",
    [
        (
            vary(PING, reason=Reason.UNAUTHORIZED, status=401),
            "  ✓ ping       21.0 ms  the Client API is reachable (status 401)",
        ),
        (PING, "  ✗ ping       21.0 ms  the Client API ACCEPTS UNAUTHENTICATED REQUESTS: report it to the vendor"),
    ],
    ids=["refused", "accepted"],
)
def test_the_probe_without_a_token_is_expected_to_be_refused(result: Result, line: str) -> None:
    """An API that accepts it is reported as a failure of its own."""
    assert lines(sent(result.with_role(Role.UNAUTHENTICATED), has_token=False)) == [line]


def test_requests_that_were_not_sent_have_a_mark_of_their_own() -> None:
    """Neither a success nor a failure of the vendor."""
    no_token = make_result(Endpoint.PING, reason=Reason.NO_TOKEN, detail="there is no valid token to ping with")
    events: list[CheckEvent] = [
        {"event": "not_sent", "environment": "prod", "endpoint": "token", "is_failure": False, "text": "too early"},
        response_event(no_token, URL, has_token=False, was_sent=False),
    ]
    assert lines(events) == [
        "prod: login",
        "  – login               not sent: too early",  # noqa: RUF001 - the mark
        "prod: ping",
        "  – ping                there is no valid token to ping with",  # noqa: RUF001 - the mark
    ]


@pytest.mark.parametrize("days,text", [(40.5, "valid for 40 days"), (-3.5, "expired 3 days ago"), (0.06, "1 hour")])
def test_a_certificate_that_did_not_verify_is_reported_with_its_expiry(days: float, text: str) -> None:
    """The expiry comes after the Result, from a connection of its own."""
    (line,) = lines([certificate_event("prod", Endpoint.PING, NOW + days * DAY)])
    assert text in line


@pytest.mark.parametrize("encoding,is_ascii", [("utf-8", False), ("cp1252", True), ("ascii", True), ("unknown", True)])
def test_the_marks_depend_on_the_locale(encoding: str, *, is_ascii: bool) -> None:
    """An encoding that has only one of the signs gets all of them in ASCII."""
    assert marks_for(cast("TextIO", SimpleNamespace(encoding=encoding))) == Marks(is_ascii=is_ascii)


def test_colour_and_ascii_change_nothing_but_the_marks() -> None:
    """A file has the same text as a terminal."""
    events = sent(vary(PING, reason=Reason.FORBIDDEN, status=403, detail="a text " * 30, failed_phase=Phase.PROCESSING))
    plain = lines(events)
    coloured = [re.sub(r"\x1b\[\d*m", "", line) for line in lines(events, Style(colour=True))]
    assert coloured == plain
    ascii_only = lines(events, is_ascii=True)
    assert "".join(ascii_only).isascii()
    assert ascii_only[0].replace("!!", "✗").split() == plain[0].split()
    assert Marks().text(Mark.OK, Style(colour=True)) != Marks().text(Mark.OK, Style())


TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from(string.printable), max_size=400)


@given(text=TEXTS, host=TEXTS, width=st.integers(40, MAX_WIDTH), is_ascii=st.booleans())
def test_no_line_is_longer_than_the_width(text: str, host: str, width: int, *, is_ascii: bool) -> None:
    """The text of a server may have any length and no blank, and none of its characters controls the terminal."""
    failed = vary(
        PING, reason=Reason.FORBIDDEN, status=403, detail=text, error_code=text, failed_phase=Phase.PROCESSING
    )
    request = request_event("prod", RequestBegin(Endpoint.PING, "https://api.example/", has_token=True))
    request["host"] = host
    not_sent: CheckEvent = {
        "event": "not_sent",
        "environment": "prod",
        "endpoint": "ping",
        "is_failure": True,
        "text": text,
    }
    printed = lines([request, *sent(failed), not_sent], Style(width=width), is_ascii=is_ascii)
    assert all(len(line) <= width and line.isprintable() for line in printed)
