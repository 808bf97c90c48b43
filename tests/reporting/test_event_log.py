"""The log tells each change of state once, and how to act on it."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from monitor.model import Endpoint, FieldNames, LoginCause, Phase, Reason, Result, Token
from monitor.reporting.event_log import EventLog

LOGIN = Result(environment="prod", endpoint=Endpoint.TOKEN, started_at=1000.0, duration=0.5)
PING = replace(LOGIN, endpoint=Endpoint.PING, status=200)
TOKEN = Token(value="x", lifetime=60, expires=60, expires_at=1060)


@pytest.fixture
def event_log(caplog: pytest.LogCaptureFixture) -> EventLog:
    """A narrator that is listened to at level info."""
    caplog.set_level(logging.INFO)
    return EventLog()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said since the last call."""
    messages = [record.message for record in caplog.records]
    caplog.clear()
    return messages


def test_a_success_is_told_once(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """The first one; then nothing."""
    event_log.record(PING)
    assert said(caplog) == ["prod: ping works"]
    event_log.record(PING)
    assert said(caplog) == []


def test_a_failure_is_told_when_it_begins_changes_and_ends(
    event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """With its reason, what it means, what to do; and at its end how long it took, from the first failure on."""
    event_log.record(PING)
    said(caplog)
    down = replace(PING, reason=Reason.SERVER_ERROR, status=503, submission_id="s-1", failed_phase=Phase.TRANSFER)
    event_log.record(down)
    fields = vars(caplog.records[0])["monitor_fields"]
    assert fields["submission_id"] == "s-1"
    assert fields["means"]
    assert fields["next"]
    assert said(caplog) == ["prod: ping failed: server_error"]
    event_log.record(replace(down, started_at=1030.0))
    assert said(caplog) == []
    event_log.record(replace(down, started_at=1060.0, reason=Reason.TIMEOUT))
    assert said(caplog) == ["prod: ping failed: timeout"]
    event_log.record(replace(PING, started_at=1090.0))
    assert vars(caplog.records[0])["monitor_fields"]["after"] == "1m30s"
    assert said(caplog) == ["prod: ping works again"]


def test_what_another_exchange_decides_is_no_state(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A retried failure changes nothing; a token that was rejected is told."""
    event_log.record(replace(PING, reason=Reason.UNAUTHORIZED, retried=True))
    assert said(caplog) == []
    event_log.record(replace(PING, reason=Reason.UNAUTHORIZED, retried=True, token_rejected=True))
    assert said(caplog) == ["prod: the token was rejected before it had expired"]


def test_every_pause_is_told(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """Each rejection of the credentials, with the time of the next attempt."""
    rejected = replace(LOGIN, reason=Reason.UNAUTHORIZED, credentials_rejected=True, suppressed_until=1300.0)
    for _ in range(2):
        event_log.record(rejected)
    first, second = said(caplog)
    assert first == second
    assert "no login before 1970-01-01T00:21:40.000Z" in first


@pytest.mark.parametrize("cause", LoginCause)
def test_a_renewal_is_told_where_it_is_news(
    cause: LoginCause, event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the daily ones."""
    event_log.record(replace(LOGIN, token=TOKEN, cause=LoginCause.INITIAL))
    said(caplog)
    event_log.record(replace(LOGIN, token=TOKEN, cause=cause))
    news = cause in {LoginCause.REJECTED, LoginCause.CREDENTIALS, LoginCause.OPERATOR}
    assert said(caplog) == (["prod: token renewed"] if news else [])


@pytest.mark.parametrize("field_names", FieldNames)
def test_a_spelling_that_was_found_out_names_its_setting(
    field_names: FieldNames, event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """So that it can be pinned."""
    event_log.record(replace(LOGIN, token=TOKEN, field_names=field_names, field_names_settled=True))
    assert f"TIGR_ENVIRONMENTS__PROD__FORM_FIELDS={field_names} pins them" in said(caplog)[-1]


def test_a_broken_promise_is_told_once_per_change(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """It is a warning, not a failure."""
    odd = replace(LOGIN, token=TOKEN, warnings=("scope is not 'access'",))
    event_log.record(odd)
    assert said(caplog) == ["prod: login works", "prod: scope is not 'access'"]
    event_log.record(odd)
    assert said(caplog) == []
    event_log.record(replace(odd, warnings=()))
    event_log.record(odd)
    assert said(caplog) == ["prod: scope is not 'access'"]


def test_an_open_door_is_told_until_it_closes(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A host that does not answer says nothing about its door."""
    question = replace(PING, unauthenticated=True)
    event_log.record(question)
    event_log.record(question)
    event_log.record(replace(question, status=None, reason=Reason.TIMEOUT))
    assert said(caplog) == ["prod: the Client API accepts unauthenticated requests"]
    event_log.record(replace(question, status=401, reason=Reason.UNAUTHORIZED))
    assert said(caplog) == ["prod: the Client API no longer accepts unauthenticated requests"]


def test_debug_tells_every_exchange(caplog: pytest.LogCaptureFixture) -> None:
    """With its phases and its TLS version."""
    caplog.set_level(logging.DEBUG)
    event_log = EventLog()
    event_log.record(replace(PING, phases={Phase.TLS: 0.25}, tls_version="TLSv1.3"))
    fields = vars(caplog.records[0])["monitor_fields"]
    assert said(caplog)[0] == "prod: ping: success"
    assert (fields["tls"], fields["tls_version"]) == (0.25, "TLSv1.3")


def test_what_was_taken_away_begins_anew(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """An environment that comes back is told from the start."""
    event_log.record(replace(PING, reason=Reason.TIMEOUT))
    event_log.remove("prod")
    said(caplog)
    event_log.record(PING)
    assert said(caplog) == ["prod: ping works"]
