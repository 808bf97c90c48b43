"""The event log records each change of state once, with the next step."""

from __future__ import annotations

import logging

import pytest

from monitor.model import Endpoint, FieldNames, LoginCause, Phase, Reason, Role, Token
from monitor.reporting.event_log import EventLog
from tests.support.harness import MovableClock
from tests.support.results import make_result, vary

LOGIN = make_result(Endpoint.TOKEN, started_at=1000.0, duration=0.5)
PING = vary(LOGIN, endpoint=Endpoint.PING, status=200)
TOKEN = Token(value="x", lifetime=60, expires=60, expires_at=1060)


@pytest.fixture
def clock() -> MovableClock:
    """Return the clock of the event log."""
    return MovableClock()


@pytest.fixture
def event_log(clock: MovableClock, caplog: pytest.LogCaptureFixture) -> EventLog:
    """Return an event log whose records are captured at level info."""
    caplog.set_level(logging.INFO)
    return EventLog(clock.clock)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log messages since the last call."""
    logged = [record.message for record in caplog.records]
    caplog.clear()
    return logged


def test_only_the_first_success_is_logged(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """Further successes cause no log line."""
    event_log.record(PING)
    assert messages(caplog) == ["prod: ping works"]
    event_log.record(PING)
    assert messages(caplog) == []


def test_a_failure_is_logged_at_its_start_change_and_end(
    event_log: EventLog, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The line has reason, meaning and next step; the last line has the duration since the first failure."""
    event_log.record(PING)
    messages(caplog)
    down = vary(PING, reason=Reason.SERVER_ERROR, status=503, submission_id="s-1", failed_phase=Phase.TRANSFER)
    event_log.record(down)
    fields = vars(caplog.records[0])["monitor_fields"]
    assert fields["submission_id"] == "s-1"
    assert fields["means"]
    assert fields["next"]
    assert messages(caplog) == ["prod: ping failed: server_error"]
    clock.advance(30)
    event_log.record(down)
    assert messages(caplog) == []
    clock.advance(30)
    event_log.record(vary(down, reason=Reason.TIMEOUT))
    assert messages(caplog) == ["prod: ping failed: timeout"]
    clock.advance(29.5)  # plus the duration of the first failure
    event_log.record(PING)
    assert vars(caplog.records[0])["monitor_fields"]["after"] == "1m30s"
    assert messages(caplog) == ["prod: ping works again"]


def test_an_internal_failure_is_no_change_of_state(
    event_log: EventLog, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and so is its end; an outage lasts from its first failure to the next success."""
    down, unknown = vary(PING, reason=Reason.CONNECT), vary(PING, reason=Reason.INTERNAL)
    for result in (PING, unknown, unknown, PING):
        event_log.record(result)
    measured = ["prod: ping could not be measured: internal", "prod: ping is measured again"]
    assert messages(caplog) == ["prod: ping works", *measured]
    for result in (down, unknown, unknown, down, unknown):
        event_log.record(result)
    clock.advance(89.5)  # plus the duration of the first failure
    event_log.record(PING)
    assert vars(caplog.records[-1])["monitor_fields"]["after"] == "1m30s"
    assert messages(caplog) == ["prod: ping failed: connect", *measured, *measured, "prod: ping works again"]


def test_a_retried_failure_is_no_change_of_state(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A retried failure changes nothing, and a rejected token is logged."""
    event_log.record(vary(PING, reason=Reason.UNAUTHORIZED, role=Role.RETRIED))
    assert messages(caplog) == []
    event_log.record(vary(PING, reason=Reason.UNAUTHORIZED, role=Role.RETRIED, token_rejected=True))
    assert messages(caplog) == ["prod: the token was rejected before it had expired"]


def test_every_rejection_is_logged(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """Each rejection of the credentials is logged with the time of the next attempt."""
    rejected = vary(LOGIN, reason=Reason.UNAUTHORIZED, credentials_rejected=True, suppressed_until=1300.0)
    for _ in range(2):
        event_log.record(rejected)
    first, second = messages(caplog)
    assert first == second
    assert "no login before 1970-01-01T00:21:40.000Z" in first


@pytest.mark.parametrize("cause", LoginCause)
def test_only_unusual_renewals_are_logged(
    cause: LoginCause, event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """Initial, scheduled and expiry renewals cause no log line."""
    event_log.record(vary(LOGIN, token=TOKEN, cause=LoginCause.INITIAL))
    messages(caplog)
    event_log.record(vary(LOGIN, token=TOKEN, cause=cause))
    news = cause in {LoginCause.REJECTED, LoginCause.CREDENTIALS, LoginCause.OPERATOR}
    assert messages(caplog) == (["prod: token renewed"] if news else [])


def test_renewals_of_tokens_that_are_rejected_again_and_again_are_logged_once(
    event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one is logged after a ping has succeeded in a run without a rejection."""
    rejected = vary(PING, reason=Reason.UNAUTHORIZED, token_rejected=True)
    renewal = vary(LOGIN, token=TOKEN, cause=LoginCause.REJECTED)
    text = "prod: token renewed"
    for _ in range(3):
        event_log.record(rejected)
        event_log.record(renewal)
    assert messages(caplog).count(text) == 1
    event_log.record(PING)
    event_log.record(rejected)
    event_log.record(renewal)
    assert messages(caplog).count(text) == 1


@pytest.mark.parametrize("field_names", FieldNames)
def test_settled_field_names_are_logged_with_their_setting(
    field_names: FieldNames, event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line contains the setting that pins the field names."""
    event_log.record(vary(LOGIN, token=TOKEN, field_names=field_names, field_names_settled=True))
    assert f"TIGR_ENVIRONMENTS__PROD__FORM_FIELDS={field_names} pins them" in messages(caplog)[-1]


def test_a_warning_is_logged_once_per_change(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A deviation from the documentation is a warning and no failure."""
    odd = vary(LOGIN, token=TOKEN, warnings=("scope is not 'access'",))
    event_log.record(odd)
    assert messages(caplog) == ["prod: login works", "prod: scope is not 'access'"]
    event_log.record(odd)
    assert messages(caplog) == []
    event_log.record(vary(odd, warnings=()))
    event_log.record(odd)
    assert messages(caplog) == ["prod: scope is not 'access'"]


def test_an_open_api_is_logged_at_its_start_and_end(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A host that does not respond does not change whether the API is open."""
    probe = vary(PING, role=Role.UNAUTHENTICATED)
    event_log.record(probe)
    event_log.record(probe)
    event_log.record(vary(probe, status=None, reason=Reason.TIMEOUT))
    assert messages(caplog) == ["prod: the Client API accepts unauthenticated requests"]
    event_log.record(vary(probe, status=401, reason=Reason.UNAUTHORIZED))
    assert messages(caplog) == ["prod: the Client API no longer accepts unauthenticated requests"]


def test_every_exchange_is_logged_at_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    """The line has the phases and the TLS version."""
    caplog.set_level(logging.DEBUG)
    event_log = EventLog()
    event_log.record(vary(PING, phases={Phase.TLS: 0.25}, tls_version="TLSv1.3"))
    fields = vars(caplog.records[0])["monitor_fields"]
    assert messages(caplog)[0] == "prod: ping: success"
    assert (fields["tls"], fields["tls_version"]) == (0.25, "TLSv1.3")


def test_a_removed_environment_starts_without_a_state(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """An environment that is added again logs its first success."""
    event_log.record(vary(PING, reason=Reason.TIMEOUT))
    event_log.remove("prod")
    messages(caplog)
    event_log.record(PING)
    assert messages(caplog) == ["prod: ping works"]


def test_a_token_rejection_is_logged_once_until_a_ping_succeeds_without_one(
    event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """A rejection in every ping is one change of state, also if each run succeeds with a newer token."""
    rejected = vary(PING, reason=Reason.UNAUTHORIZED, token_rejected=True)
    retried = vary(rejected, role=Role.RETRIED)
    text = "prod: the token was rejected before it had expired"
    event_log.record(PING)
    for _ in range(3):
        event_log.record(rejected)
        event_log.record(vary(PING, reason=Reason.TIMEOUT))
        event_log.record(retried)
        event_log.record(rejected)
        event_log.record(retried)
        event_log.record(PING)
    assert messages(caplog).count(text) == 1
    event_log.record(PING)
    event_log.record(vary(LOGIN, token=TOKEN))
    event_log.record(retried)
    assert messages(caplog).count(text) == 1


@pytest.mark.parametrize("step", [-10 * 365 * 86400.0, -3600.0, 3600.0, 10 * 365 * 86400.0])
def test_a_step_of_the_wall_clock_changes_no_duration(
    step: float, event_log: EventLog, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The duration of an outage is measured on the monotonic clock."""
    event_log.record(vary(PING, reason=Reason.TIMEOUT, started_at=clock.clock.wall(), duration=0.0))
    clock.advance(90)
    clock.step(step)
    event_log.record(vary(PING, started_at=clock.clock.wall(), duration=0.0))
    assert vars(caplog.records[-1])["monitor_fields"]["after"] == "1m30s"


def test_a_lag_of_new_tokens_is_logged_once_until_a_token_is_accepted_at_once(
    event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """A vendor whose API always accepts new tokens late causes one line, not one per login."""
    login, lag = vary(LOGIN, token=TOKEN), vary(PING, token_lag=3.0)
    for _ in range(3):
        for result in (login, lag, PING):
            event_log.record(result)
    lines = [text for text in messages(caplog) if "refused the new token" in text]
    assert lines == ["prod: the API refused the new token until it was at least 3.0 s old, then accepted it"]
    for result in (login, PING, login, lag):
        event_log.record(result)
    assert [text for text in messages(caplog) if "refused the new token" in text] == lines


def responsible(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the responsible parties of the log records since the last call."""
    logged = [vars(record).get("monitor_fields", {}).get("responsible") for record in caplog.records]
    caplog.clear()
    return [party for party in logged if party is not None]


def test_each_failure_names_who_can_end_it(event_log: EventLog, caplog: pytest.LogCaptureFixture) -> None:
    """A ping without a token has the party of the failed login, and a success has none."""
    for result in (
        vary(PING, reason=Reason.SERVER_ERROR, status=503),
        PING,
        vary(LOGIN, reason=Reason.DNS),
        vary(PING, reason=Reason.NO_TOKEN),
        vary(PING, reason=Reason.INTERNAL),
    ):
        event_log.record(result)
    parties = [
        "the vendor's API",
        "our network or the vendor's IP allowlist",
        "our network or the vendor's IP allowlist",
        "the monitor itself",
    ]
    assert responsible(caplog) == parties
    event_log.record(vary(PING, reason=Reason.UNAUTHORIZED, status=401, rejects_token=True, token_rejected=True))
    assert responsible(caplog) == ["the vendor's API", "the vendor's API"]  # the rejected token, and the failed ping


def test_a_rejection_before_the_start_explains_a_missing_token(
    event_log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    """The current process has sent no login."""
    event_log.suppressed_at_start("prod", rejected=True, pause=60.0, wall=1000.0)
    event_log.suppressed_at_start("uat", rejected=False, pause=60.0, wall=1000.0)
    for environment in ("prod", "uat"):
        event_log.record(vary(PING, environment=environment, reason=Reason.NO_TOKEN))
    assert responsible(caplog) == ["our credentials", "unknown"]
