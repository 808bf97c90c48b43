"""The e-mail about an incident: its facts, its addressee and its form."""

from __future__ import annotations

import email
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import __version__
from monitor.model import Endpoint, Phase, Reason, Responsibility
from monitor.reporting.evidence import MAX_KINDS, MAX_MESSAGE, WIDTH, evidence, is_for_vendor
from monitor.reporting.incident import Incident, ProbeRecord
from tests.support.journals import PING, START

pytestmark = pytest.mark.once

FIRST = ProbeRecord(
    started_at=START + 0.123,
    duration=0.5,
    reason=Reason.SERVER_ERROR,
    status=503,
    detail="Service unavailable: try later",
    error_code="E503",
    submission_id="sim-1",
    failed_phase=Phase.TRANSFER,
    phases={Phase.RESOLVE: 0.001, Phase.PROCESSING: 0.4},
    address="192.0.2.7",
    tls_version="TLSv1.3",
)
LAST = replace(FIRST, started_at=START + 60.5, submission_id="sim-9")
OTHER = replace(
    FIRST, started_at=START + 30, reason=Reason.TIMEOUT, status=None, detail="no response", submission_id=None
)
INCIDENT = Incident(
    number=1,
    environment="prod",
    endpoint=Endpoint.PING,
    begin=FIRST.started_at,
    end=None,
    last_observed=None,
    responsibility=Responsibility.API,
    reasons=((Reason.SERVER_ERROR, 4), (Reason.TIMEOUT, 1)),
    first=FIRST,
    last=LAST,
    submission_ids=("sim-1", "sim-9"),
    episodes=1,
    down=60.5,
    decisions=("2027-01-15T08:00:01.000Z: backoff: no ping before 2027-01-15T08:01:00.000Z",),
    url=PING,
)
NOW = START + 90


def plain(text: str) -> str:
    """Return the text without line breaks."""
    return " ".join(text.split())


def test_the_text_has_all_that_the_support_asks_for() -> None:
    """Times to the millisecond in UTC, request line, expected and actual response, submissionIds, versions."""
    text = plain(evidence(INCIDENT, [FIRST, OTHER, LAST], NOW))
    for part in (
        "To: tigrs@apx.com",
        "Subject: TIGR Client API ping has failed since 2027-01-15T08:00:00.123Z (server_error, status 503)",
        "Environment: prod",
        "Host: api.example",
        "GET /ClientAPI/api/system/ping HTTP/1.1",
        'Expected: status 200 with a JSON object that contains "pong"',
        "Received: status 503, code E503, Service unavailable: try later",
        "Failures: 4 server_error, 1 timeout",
        "(observed until the last failure)",
        "Responsible: probably the vendor's API",
        "submissionId: sim-1, sim-9",
        "1. server_error, 2 times, first at 2027-01-15T08:00:00.123Z,",
        "last at 2027-01-15T08:01:00.500Z",
        "2. timeout in the phase transfer, at 2027-01-15T08:00:30.000Z",
        "connected to: 192.0.2.7, TLSv1.3",
        "duration: 500.0 ms (resolve 1.0 ms, processing 400.0 ms)",
        "backoff: no ping before 2027-01-15T08:01:00.000Z",
        f"tigr-monitor {__version__} with Python 3.",
        "contains no secret",
        "Please find out, with the submissionIds above, why these requests fail",
    ):
        assert part in text


def test_it_is_a_plain_e_mail() -> None:
    """The header section has ASCII only, and lines are short enough that no program wraps them."""
    text = evidence(replace(INCIDENT, environment="prod"), [FIRST], NOW)
    message = email.message_from_string(text)
    assert message["To"] == "tigrs@apx.com"
    assert message["Subject"].isascii()
    assert str(message.get_payload()).startswith("Our client has not been able to ping")
    assert max(map(len, text.splitlines()[2:])) <= WIDTH


@pytest.mark.parametrize(
    "end, last_observed, text",
    [
        (None, None, "End: still open at 2027-01-15T08:01:30.000Z, when this text was written"),
        (START + 61, None, "End: 2027-01-15T08:01:01.000Z"),
        (
            START + 80,
            START + 61,
            "End: between 2027-01-15T08:01:01.000Z and 2027-01-15T08:01:20.000Z, not observed",
        ),
    ],
)
def test_the_end_is_as_exact_as_it_is_known(end: float | None, last_observed: float | None, text: str) -> None:
    """It may not have been observed."""
    assert text in plain(evidence(replace(INCIDENT, end=end, last_observed=last_observed), [], NOW))


@pytest.mark.parametrize(
    "responsibility, reason, addressee",
    [
        (Responsibility.CREDENTIALS, Reason.UNAUTHORIZED, "who keeps the credentials"),
        (Responsibility.NETWORK, Reason.DNS, "the administrators of your own network"),
        (Responsibility.MONITOR, Reason.UNAUTHORIZED, "the administrators of the monitor"),
        (Responsibility.NETWORK, Reason.FORBIDDEN, ""),  # the allowlist is the vendor's
        (Responsibility.LOGIN, Reason.SERVER_ERROR, ""),
        (Responsibility.API, Reason.SERVER_ERROR, ""),
        (Responsibility.UNKNOWN, Reason.RATE_LIMITED, ""),
    ],
)
def test_the_first_line_names_who_can_help(responsibility: Responsibility, reason: Reason, addressee: str) -> None:
    """The vendor's support cannot correct a password that was typed wrongly."""
    incident = replace(INCIDENT, responsibility=responsibility, last=replace(LAST, reason=reason))
    text = evidence(incident, [], NOW)
    if addressee:
        assert text.startswith("Not for the vendor's support, but for ")
        assert addressee in plain(text.split("\n\n")[0])
        assert "To:" not in text
    else:
        assert text.startswith("To: tigrs@apx.com\n")
    assert is_for_vendor(incident) == (not addressee)


def test_a_refused_address_asks_for_the_allowlist() -> None:
    """The vendor sees the address."""
    incident = replace(INCIDENT, responsibility=Responsibility.NETWORK, last=replace(LAST, reason=Reason.FORBIDDEN))
    assert "IP allowlist" in evidence(incident, [], NOW)


def test_only_failures_of_the_incident_are_described() -> None:
    """Other failures of the endpoint, and those of the monitor itself, are left out."""
    others = [
        replace(FIRST, started_at=START - 100, detail="too early"),
        replace(FIRST, started_at=START + 3, reason=None, detail="a success"),
        replace(FIRST, started_at=START + 4, reason=Reason.INTERNAL, detail="an internal error"),
        replace(FIRST, started_at=START + 5, reason=Reason.NO_TOKEN, detail="a missing token"),
        replace(FIRST, started_at=START + 500, detail="too late"),
    ]
    text = evidence(replace(INCIDENT, end=START + 61), others, NOW)
    for record in others:
        assert record.detail not in text
    assert "3." not in text.split("Failures\n")[1].split("Decisions")[0]


def test_many_kinds_of_failures_are_counted() -> None:
    """The most frequent ones are described."""
    failures = [replace(FIRST, started_at=START + 1 + number, detail=f"text {number}") for number in range(30)]
    text = evidence(INCIDENT, failures, NOW)
    assert f"\n{MAX_KINDS}. server_error" in text
    assert f"and {31 - MAX_KINDS} further kinds of failures" in text


def test_a_login_has_its_request_line() -> None:
    """POST to the token URL."""
    incident = replace(INCIDENT, endpoint=Endpoint.TOKEN, url="https://login.example/oauth/token")
    text = evidence(incident, [], NOW)
    assert "POST /oauth/token HTTP/1.1 to login.example" in text
    assert '"access_token"' in text


@pytest.mark.parametrize(
    "phase, reason, sent",
    [
        (Phase.RESOLVE, Reason.DNS, "a lookup of api.example"),
        (Phase.CONNECT, Reason.TIMEOUT, "a TCP connection to api.example"),
        (Phase.TLS, Reason.CERTIFICATE, "a TLS handshake with api.example"),
        (Phase.PROCESSING, Reason.TIMEOUT, "GET /ClientAPI/api/system/ping HTTP/1.1 to api.example"),
    ],
)
def test_a_request_that_was_not_sent_is_not_claimed(phase: Phase, reason: Reason, sent: str) -> None:
    """The step that failed stands in its place."""
    last = replace(LAST, reason=reason, status=None, failed_phase=phase, error_code=None)
    assert re.search(rf"^Sent: +{re.escape(sent)}$", evidence(replace(INCIDENT, last=last), [], NOW), re.MULTILINE)


@given(st.text(max_size=2000))
def test_a_hostile_message_cannot_change_the_form(detail: str) -> None:
    """It has no line of its own, no control character, and at most 600 characters."""
    incident = replace(INCIDENT, first=replace(FIRST, detail=detail), last=replace(LAST, detail=detail))
    text = evidence(incident, [], NOW)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.split("\n\n")[0].count("\n") == 1
    assert len(text) < 4 * MAX_MESSAGE + 3000
    assert sum(line.startswith("Subject:") for line in text.splitlines()) == 1
