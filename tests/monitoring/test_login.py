"""Logins over virtual time: field names, rejected credentials, operator's attempts, the schedule and its limits."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from monitor.config.settings import EnvironmentCredentials
from monitor.model import Endpoint, FieldNames, HostCheck, LoginCause, Phase, Reason, Result, Role, Token
from monitor.monitoring.environment import ProbeClient
from monitor.monitoring.login import Logins
from monitor.monitoring.negotiation import PAUSES
from monitor.monitoring.state_directory import StateDirectory
from tests.reporting.test_metrics import SETTINGS
from tests.support.results import vary
from tests.support.virtual_time import (
    CREDENTIALS,
    DAY,
    DOWN,
    HOUR,
    NO_RESPONSE,
    PONG,
    REJECTED,
    UNAUTHORIZED,
    WELL,
    ProcessKilledError,
    VirtualTimeHarness,
)

pytestmark = pytest.mark.once

DOCUMENTED, RFC6749 = FieldNames.DOCUMENTED, FieldNames.RFC6749
AUTH, PING = SETTINGS.auth_interval, SETTINGS.ping_interval
MINUTE = 60.0
SETTINGS = replace(SETTINGS, credentials=CREDENTIALS)
PINNED = replace(SETTINGS, form_fields=DOCUMENTED)
NAMED = vary(WELL, reason=Reason.REJECTED_REQUEST, status=400, refused=True, names_credentials=True)
BAD_REQUEST = vary(NAMED, names_credentials=False)
ERROR_500 = vary(WELL, reason=Reason.SERVER_ERROR, status=500)


def failing(reason: Reason, status: int | None = None, retry_after: float | None = None) -> Result:
    """Return a login that failed without a refusal."""
    return vary(WELL, reason=reason, status=status, retry_after=retry_after)


class ResponseSequence:
    """Responses in order; the last one repeats. None is a grant."""

    def __init__(self, *results: Result | None) -> None:
        self._results = list(results)

    def __call__(self, harness: VirtualTimeHarness, _names: FieldNames) -> Result:
        """Return the next response."""
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        return result or harness.granted()


def gaps(moments: list[float]) -> list[float]:
    """Return the seconds between neighbours."""
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


# Field names.


@pytest.mark.parametrize("refusal", [REJECTED, NAMED, BAD_REQUEST, vary(ERROR_500, refused=True)], ids=str)
def test_the_other_names_follow_any_refusal_in_the_same_run(refusal: Result) -> None:
    """A server that takes `username` grants the second request, whatever its refusal of `Username` looks like."""
    harness = VirtualTimeHarness(lambda harness, names: harness.granted() if names is RFC6749 else refusal)
    harness.run(HOUR)
    assert harness.names()[:2] == [DOCUMENTED, RFC6749]
    assert harness.names().count(DOCUMENTED) == 1
    assert harness.outcomes(Endpoint.TOKEN)[0] is None
    assert [result.run.field_names_settled for result in harness.results if result.endpoint is Endpoint.TOKEN][1]


@pytest.mark.parametrize("result", [DOWN, NO_RESPONSE, ERROR_500, failing(Reason.FORBIDDEN, 403)], ids=str)
def test_only_a_refusal_makes_the_other_names_follow(result: Result) -> None:
    """A run that meets an outage sends one request, and the next run begins with the names that got fewer responses."""
    harness = VirtualTimeHarness(lambda *_: result)
    harness.run(10 * MINUTE)
    assert len(harness.runs) == len(harness.logins()) > 2
    responded = result.measurement.status is not None
    assert harness.names()[1] is (RFC6749 if responded else DOCUMENTED)


@pytest.mark.parametrize("names", FieldNames)
def test_an_outage_at_first_contact_settles_no_name(names: FieldNames) -> None:
    """After ten minutes of status 500, a login with the names that the server accepts is granted."""
    harness = VirtualTimeHarness(
        lambda harness, sent: ERROR_500 if harness.now < 1600 else harness.granted() if sent is names else REJECTED
    )
    harness.run(HOUR)
    assert harness.outcomes(Endpoint.TOKEN)[-1] is None
    assert not harness.environment.credentials_rejected


@pytest.mark.parametrize(
    "second",
    [NO_RESPONSE, failing(Reason.DISCONNECT), ERROR_500, failing(Reason.SERVER_ERROR, 503, 60.0),
     failing(Reason.FORBIDDEN, 403), failing(Reason.RATE_LIMITED, 429)],
    ids=str,
)  # fmt: skip
def test_one_lost_request_at_first_contact_settles_nothing(second: Result, tmp_path: Path) -> None:
    """Right credentials log in soon after, also if the monitor restarts meanwhile."""
    harness = VirtualTimeHarness(ResponseSequence(BAD_REQUEST, second, None), state_dir=tmp_path)
    harness.run(10)
    harness.restart()
    harness.run(10 * MINUTE)
    assert harness.names()[:3] == [DOCUMENTED, RFC6749, RFC6749]
    assert harness.environment.token is not None


def test_three_other_responses_settle_a_name_whose_other_was_refused() -> None:
    """A server that answers 500 to a missing field: then the refusal of the other names rejects the credentials."""
    harness = VirtualTimeHarness(lambda _harness, names: ERROR_500 if names is DOCUMENTED else NAMED, logins_only=True)
    harness.run(10 * MINUTE)
    assert harness.names() == [DOCUMENTED, RFC6749, DOCUMENTED, DOCUMENTED, DOCUMENTED]
    assert harness.environment.credentials_rejected
    last = [result for result in harness.results if result.endpoint is Endpoint.TOKEN][-1]
    assert last.run.credentials_rejected
    assert "username/password: status 400" in last.run.other_refusal
    harness.run(DAY)
    assert set(harness.names()[5:]) == {RFC6749}


@pytest.mark.parametrize(
    "documented,rfc6749,preferred",
    [
        (REJECTED, BAD_REQUEST, DOCUMENTED),
        (BAD_REQUEST, REJECTED, RFC6749),
        (NAMED, REJECTED, DOCUMENTED),
        (BAD_REQUEST, NAMED, RFC6749),
        (REJECTED, REJECTED, RFC6749),
        (NAMED, NAMED, RFC6749),
        (BAD_REQUEST, BAD_REQUEST, RFC6749),
    ],
)
def test_the_refusal_with_more_weight_is_decisive(documented: Result, rfc6749: Result, preferred: FieldNames) -> None:
    """It is the decisive Result and contains the other as text, and later runs send only its names."""
    responses = {DOCUMENTED: vary(documented, detail="the first"), RFC6749: vary(rfc6749, detail="the second")}
    harness = VirtualTimeHarness(lambda _harness, names: responses[names], logins_only=True)
    harness.run(DAY)
    assert harness.names() == [DOCUMENTED, RFC6749, preferred]
    retried, decisive = [result for result in harness.results if result.endpoint is Endpoint.TOKEN][:2]
    assert (retried.run.role, decisive.run.role) == (Role.RETRIED, Role.DECISIVE)
    assert decisive.field_names is preferred
    assert decisive.run.credentials_rejected
    assert responses[FieldNames(retried.field_names or "")].verdict.detail in decisive.run.other_refusal


def test_granted_names_are_kept_per_token_url_across_credentials(tmp_path: Path) -> None:
    """Other credentials at the same server cost one request, another server is a first contact."""
    harness = VirtualTimeHarness(
        lambda harness, names: harness.granted() if names is RFC6749 else BAD_REQUEST, state_dir=tmp_path
    )
    harness.run(MINUTE)
    harness.restart()
    harness.use(credentials=EnvironmentCredentials("id", "secret", "user", "another"))
    harness.run(MINUTE)
    assert harness.names() == [DOCUMENTED, RFC6749, RFC6749]
    harness.use(token_url="https://elsewhere.example/oauth/token")
    harness.run(MINUTE)
    assert harness.names()[3:] == [DOCUMENTED, RFC6749]


# Rejected credentials.


def test_a_rejected_password_is_sent_three_times() -> None:
    """It is sent at once, after 20 minutes and after another hour; then logins stop."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=PINNED, logins_only=True)
    harness.run(30 * DAY)
    assert [round(gap / MINUTE) for gap in gaps(harness.logins())] == [20, 60]
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    assert harness.environment.credentials_rejected
    decisive = [result for result in harness.results if result.endpoint is Endpoint.TOKEN]
    assert [result.run.attempts_left for result in decisive] == [2, 1, 0]
    assert decisive[-1].run.suppressed_until == math.inf


@pytest.mark.parametrize("limit,days", [(1, []), (2, [0]), (4, [0, 0, 1]), (5, [0, 0, 1, 1])])
def test_the_limit_counts_requests(limit: int, days: list[int]) -> None:
    """Above three, further requests follow daily until the limit is reached."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=replace(PINNED, rejected_logins=limit), logins_only=True)
    harness.run(30 * DAY)
    assert [round(gap / DAY) for gap in gaps(harness.logins())] == days
    assert len(harness.logins()) == limit


def test_a_first_contact_sends_at_most_two_requests_at_once() -> None:
    """The third follows 20 minutes later; with a limit of two there is none."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=SETTINGS, logins_only=True)
    harness.run(30 * DAY)
    assert [round(gap / MINUTE) for gap in gaps(harness.logins())] == [0, 20]
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=replace(SETTINGS, rejected_logins=2), logins_only=True)
    harness.run(30 * DAY)
    assert len(harness.logins()) == 2


def test_requests_without_a_response_count_after_the_first_refusal() -> None:
    """The server may have counted them; requests before the refusal do not count."""
    harness = VirtualTimeHarness(
        ResponseSequence(*[NO_RESPONSE] * 5, REJECTED, NO_RESPONSE), settings=PINNED, logins_only=True
    )
    harness.run(30 * DAY)
    assert len(harness.logins()) == 5 + 3
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf


@pytest.mark.parametrize(
    "result",
    [DOWN, ERROR_500, failing(Reason.RATE_LIMITED, 429), failing(Reason.SERVER_ERROR, 503, 0.0),
     failing(Reason.REJECTED_REQUEST, 404), failing(Reason.UNEXPECTED_STATUS, 302)],
    ids=str,
)  # fmt: skip
def test_other_failures_neither_count_nor_shorten_the_pause(result: Result) -> None:
    """Each of them repeats the pause that follows a refusal."""
    harness = VirtualTimeHarness(ResponseSequence(REJECTED, result), settings=PINNED, logins_only=True)
    harness.run(DAY)
    assert min(gaps(harness.logins())) >= PAUSES[0]
    assert len(harness.logins()) > 10
    assert harness.environment.backoff(Endpoint.TOKEN) < math.inf


def test_a_grant_ends_the_rejection() -> None:
    """The count starts again with the next refusal."""
    harness = VirtualTimeHarness(
        ResponseSequence(REJECTED, REJECTED, None, REJECTED), settings=PINNED, logins_only=True
    )
    harness.run(30 * DAY)
    assert len(harness.logins()) == 3 + 3
    refused = [result.run.attempts_left for result in harness.results if result.verdict.refused]
    assert refused == [2, 1, 2, 1, 0]


def test_a_200_that_breaks_off_counts_as_no_response() -> None:
    """Its body may have been a refusal."""
    broken = vary(WELL, reason=Reason.DISCONNECT)
    harness = VirtualTimeHarness(ResponseSequence(REJECTED, broken), settings=PINNED, logins_only=True)
    harness.run(30 * DAY)
    assert len(harness.logins()) == 3


def test_restarts_change_nothing(tmp_path: Path) -> None:
    """Count and pause are persisted over any number of restarts."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=PINNED, state_dir=tmp_path)
    for _ in range(300):
        harness.run(290)
        harness.restart(10)
    assert [round(gap / MINUTE) for gap in gaps(harness.logins())] == [20, 60]
    assert harness.environment.attempted
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf


def test_a_process_that_ends_before_the_response_has_sent_the_password(tmp_path: Path) -> None:
    """One such request delays nothing, the second pauses logins, the third stops them, and no cause is invented."""

    def killed(_harness: VirtualTimeHarness, _names: FieldNames) -> Result:
        raise ProcessKilledError

    harness = VirtualTimeHarness(killed, state_dir=tmp_path, logins_only=True)
    for expected in (0.0, PAUSES[0], math.inf):
        with pytest.raises(ProcessKilledError):
            harness.run(2 * HOUR)
        harness.restart()
        assert harness.environment.backoff(Endpoint.TOKEN) == pytest.approx(expected, abs=1)
        assert harness.environment.credentials_rejected is (expected == math.inf)
    assert len(harness.logins()) == 3
    harness.run(30 * DAY)
    assert len(harness.logins()) == 3


def test_the_record_is_written_before_the_request_is_sent(tmp_path: Path) -> None:
    """During the request, the file on disk has a request in flight and the start of its run."""
    stored = []

    def read_state(harness: VirtualTimeHarness, _names: FieldNames) -> Result:
        stored.append(json.loads((tmp_path / "state.json").read_text()))
        return harness.granted()

    harness = VirtualTimeHarness(read_state, state_dir=tmp_path)
    harness.run(1)
    (login,) = stored[0]["hosts"][SETTINGS.token_url]["logins"]
    assert login["in_flight"]
    assert stored[0]["last_logins"]["prod"] == pytest.approx(harness.wall + 1000, abs=1)


@pytest.mark.parametrize("login", [REJECTED, None, ERROR_500], ids=["rejected", "granted", "failed"])
def test_a_run_saves_once_per_request_and_once_at_its_end(
    login: Result | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each save waits for the disk."""
    saved: list[str] = []
    replace_file = StateDirectory.replace

    def counting(directory: StateDirectory, name: str, content: bytes) -> None:
        saved.append(name)
        replace_file(directory, name, content)

    monkeypatch.setattr(StateDirectory, "replace", counting)
    harness = VirtualTimeHarness(lambda harness, _: login or harness.granted(), state_dir=tmp_path, logins_only=True)
    harness.run(1)
    assert len(saved) == len(harness.logins()) + 1
    (record,) = json.loads((tmp_path / "state.json").read_text())["hosts"][SETTINGS.token_url]["logins"]
    assert (record["rejected"], record["in_flight"]) == (login is REJECTED, False)


def test_changed_credentials_are_tried_at_once_and_changed_back_resume_the_count() -> None:
    """The records of the last four credentials are kept, and a login waits only for the ping interval."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=PINNED, logins_only=True)
    harness.run(DAY)
    for password in ("second", "third", "fourth"):
        harness.use(credentials=replace(CREDENTIALS, password=password))
        before = len(harness.logins())
        harness.run(PING + 1)
        assert len(harness.logins()) == before + 1
    harness.use(credentials=CREDENTIALS)
    before = len(harness.logins())
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    harness.run(30 * DAY)
    assert len(harness.logins()) == before


def test_environments_with_the_same_credentials_share_the_count() -> None:
    """A second environment at the same server sends no more than the first may."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=PINNED)
    harness.run(10)
    other = VirtualTimeHarness(lambda *_: REJECTED, settings=replace(PINNED, name="nar"))
    other.clock, other.state = harness.clock, harness.state
    other.now = harness.now
    other.environment = type(harness.environment)(other.settings, other, other, harness.state, harness.clock)
    assert other.environment.credentials_rejected
    assert other.environment.backoff(Endpoint.TOKEN) == harness.environment.backoff(Endpoint.TOKEN)
    other.environment.run_login()
    assert other.logins() == []


# Operator's attempts.


def test_a_reload_grants_one_attempt_per_rejection(tmp_path: Path) -> None:
    """The attempt sends both field names; a second reload grants none, also after a restart."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, state_dir=tmp_path, logins_only=True)
    harness.run(30 * DAY)
    before = len(harness.logins())
    assert harness.environment.logins.request_after_reload()
    harness.run(HOUR)
    assert [round(gap) for gap in gaps(harness.logins()[before:])] == [0]
    assert not harness.environment.logins.request_after_reload()
    harness.restart()
    assert not harness.environment.logins.request_after_reload()
    harness.run(HOUR)
    assert len(harness.logins()) == before + 2
    causes = [result.run.cause for result in harness.results if result.run.cause is not None]
    assert causes[-1] is LoginCause.OPERATOR


def test_an_attempt_that_never_reached_the_server_is_not_used_up() -> None:
    """A reload during an outage may be repeated after it."""
    harness = VirtualTimeHarness(
        ResponseSequence(REJECTED, REJECTED, REJECTED, DOWN, None), settings=PINNED, logins_only=True
    )
    harness.run(30 * DAY)
    assert harness.environment.logins.request_after_reload()
    harness.run(MINUTE)
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    assert harness.environment.logins.request_after_reload()
    harness.run(MINUTE)
    assert harness.environment.token is not None


def test_a_signal_grants_one_attempt_in_five_minutes() -> None:
    """It also allows a login that a 403 delays; if nothing delays a login, it allows none."""
    harness = VirtualTimeHarness(lambda *_: REJECTED, settings=PINNED, logins_only=True)
    harness.run(30 * DAY)
    assert harness.environment.logins.request_after_signal()
    harness.run(MINUTE)
    assert len(harness.logins()) == 4
    assert not harness.environment.logins.request_after_signal()
    harness.run(4 * MINUTE)
    assert harness.environment.logins.request_after_signal()
    forbidden = VirtualTimeHarness(lambda *_: failing(Reason.FORBIDDEN, 403), logins_only=True)
    forbidden.run(HOUR)
    assert forbidden.environment.logins.request_after_signal()
    well = VirtualTimeHarness(lambda harness, _: harness.granted(), logins_only=True)
    well.run(HOUR)
    assert not well.environment.logins.request_after_signal()


def test_an_account_that_was_disabled_at_first_contact_logs_in_after_a_reload() -> None:
    """Keycloak refuses `Username` as a missing field and `username` as disabled; both are sent on request."""
    enabled = False

    def keycloak(harness: VirtualTimeHarness, names: FieldNames) -> Result:
        if names is DOCUMENTED:
            return REJECTED
        return harness.granted() if enabled else NAMED

    harness = VirtualTimeHarness(keycloak, logins_only=True)
    harness.run(DAY)
    assert harness.names() == [DOCUMENTED, RFC6749, RFC6749]
    enabled = True
    assert harness.environment.logins.request_after_reload()
    harness.run(MINUTE)
    assert harness.names()[3:] == [RFC6749]
    assert harness.environment.token is not None


# The schedule.


@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0, 29.0])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_names_no_useful_time_gets_growing_pauses(status: int, retry_after: float | None) -> None:
    """`Retry-After: 0` or a date in the past does not allow a login at once."""
    reason = Reason.RATE_LIMITED if status == 429 else Reason.SERVER_ERROR
    harness = VirtualTimeHarness(lambda *_: failing(reason, status, retry_after), logins_only=True)
    harness.run(DAY)
    assert min(gaps(harness.logins())) >= PING
    assert len(harness.logins()) <= DAY / (50 if status == 503 else 700)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(status: int) -> None:
    """The next login comes at the time that the server requested."""
    reason = Reason.RATE_LIMITED if status == 429 else Reason.SERVER_ERROR
    harness = VirtualTimeHarness(ResponseSequence(failing(reason, status, 700.0), None))
    harness.run(HOUR)
    assert gaps(harness.logins())[0] == pytest.approx(700, abs=1)


@pytest.mark.parametrize("ping_interval,auth_interval", [(400.0, 300.0), (600.0, 300.0), (30.0, 300.0), (60.0, 60.0)])
def test_a_login_is_due_one_interval_after_the_last(ping_interval: float, auth_interval: float) -> None:
    """If the ping interval is longer than the login interval, the ping interval counts."""
    settings = replace(SETTINGS, ping_interval=ping_interval, auth_interval=auth_interval)
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(), settings=settings)
    harness.run(DAY / 4)
    assert gaps(harness.logins()) == pytest.approx(
        [max(ping_interval, auth_interval)] * (len(harness.logins()) - 1), abs=0.1
    )


def test_tokens_that_last_one_interval_cause_one_login_each() -> None:
    """A renewal before the expiry also moves the schedule."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(AUTH))
    harness.run(DAY)
    assert gaps(harness.logins()) == pytest.approx([AUTH - 60] * (len(harness.logins()) - 1), abs=0.1)
    assert set(harness.outcomes(Endpoint.PING)) == {None}


def test_a_reload_with_other_intervals_causes_no_login() -> None:
    """The reload moves the next login."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted())
    harness.run(100)
    for interval in (200.0, 250.0, 300.0):
        harness.use(auth_interval=interval)
        harness.run(10)
    assert len(harness.logins()) == 1
    harness.run(250)
    assert gaps(harness.logins()) == pytest.approx([300], abs=0.1)


def test_logins_keep_their_distance_over_restarts(tmp_path: Path) -> None:
    """A ping waits for that login and does not fail for lack of a token."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(), state_dir=tmp_path)
    harness.run(10)
    harness.restart()
    harness.run(HOUR)
    assert gaps(harness.logins())[0] == pytest.approx(PING, abs=0.1)
    assert set(harness.outcomes(Endpoint.PING)) == {None}


def test_a_failed_check_of_the_token_host_brings_the_next_login_forward() -> None:
    """Two failures in a row cause a login, once per login interval, and its Result has the reason."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted() if harness.now < 1400 else DOWN)
    harness.run(400)
    harness.host_reason = Reason.CONNECT
    harness.run(2 * PING + 1)
    assert harness.outcomes(Endpoint.TOKEN)[-1] is Reason.CONNECT
    assert [check.reachable for check in harness.checks][-2:] == [False, False]


@pytest.mark.parametrize(
    "reason,seconds",
    [(Reason.CONNECT, 0.0), (Reason.TLS, 0.1), (Reason.TIMEOUT, SETTINGS.timeout), (Reason.DNS, 3.0),
     (Reason.CERTIFICATE, 0.1)],
)  # fmt: skip
@pytest.mark.parametrize("offset", range(0, 61, 5))
def test_a_dead_token_host_is_detected_within_two_intervals_and_two_timeouts(
    reason: Reason, seconds: float, offset: int
) -> None:
    """The time at which it fails does not matter; the login interval is an hour."""
    dead: list[float] = []

    def log_in(harness: VirtualTimeHarness, _names: FieldNames) -> Result:
        if not dead:
            return harness.granted(DAY)
        harness.now += seconds
        return failing(reason)

    class SlowCheckHarness(VirtualTimeHarness):
        def check_token_host(self) -> HostCheck:
            self.now += seconds if dead else 0.0
            return super().check_token_host()

    harness = SlowCheckHarness(log_in, settings=replace(SETTINGS, auth_interval=HOUR))
    harness.run(600 + offset)
    dead.append(harness.now)
    harness.host_reason = reason
    while harness.outcomes(Endpoint.TOKEN)[-1] is None:
        harness.run(0.1)
        assert harness.now - dead[0] <= 2 * PING + 2 * SETTINGS.timeout + 0.2
    assert harness.outcomes(Endpoint.TOKEN)[-1] is reason


def test_checks_of_a_token_host_cause_one_login_per_interval() -> None:
    """A host that fails checks and grants logins at most doubles the logins."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(), host_reason=Reason.TLS)
    harness.run(DAY)
    assert len(harness.logins()) <= 2 * DAY / AUTH
    stopped = VirtualTimeHarness(lambda *_: REJECTED, host_reason=Reason.TLS)
    stopped.run(DAY)
    assert len(stopped.logins()) == 3


# Tokens.


def test_a_reload_in_the_middle_of_a_ping_sends_no_token_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has read the old token does not send it through the new settings."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted())
    harness.run(MINUTE)
    old = harness.environment.token
    usable, sent_to = Logins.usable_token, list[str]()

    class RecordingClient:
        """Sends pings to one host."""

        def __init__(self, name: str) -> None:
            self.name = name

        def ping(self, token: Token | None) -> Result:
            """Record the host if it gets the old token."""
            sent_to.extend([self.name] if token is old else [])
            return harness.ping(token)

        def __getattr__(self, name: str) -> object:
            return getattr(harness, name)

    def reload_meanwhile(logins: Logins) -> Token | None:
        token: Token | None = usable.__get__(logins)
        if harness.settings.api_url != "https://elsewhere.example/ClientAPI":
            harness.settings = replace(harness.settings, api_url="https://elsewhere.example/ClientAPI")
            harness.environment.use(harness.settings, cast("ProbeClient", RecordingClient("new")))
        return token

    monkeypatch.setattr(Logins, "usable_token", property(reload_meanwhile))
    harness.environment.run_ping()
    assert sent_to == []


def test_a_token_that_the_api_accepts_late_fails_no_ping() -> None:
    """A 401 to a young token is retried, the token is kept, and the lag is reported once per token."""
    harness = VirtualTimeHarness(
        lambda harness, _: harness.granted(),
        lambda harness, token: PONG if token and token.age(harness.now) > 2 else UNAUTHORIZED,
    )
    harness.run(HOUR)
    assert set(harness.outcomes(Endpoint.PING)) == {None}
    assert not any(result.run.token_rejected for result in harness.results)
    assert len(harness.logins()) == HOUR / AUTH + 1
    lags = [result.run.token_lag for result in harness.results if result.run.token_lag is not None]
    assert len(lags) == pytest.approx(len(harness.logins()), abs=1)
    assert max(lags) <= 2


def test_a_401_is_decisive_when_the_token_is_ten_seconds_old() -> None:
    """A token of that age is rejected by a 401; a younger one is retried."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(), lambda *_: UNAUTHORIZED)
    harness.run(20)
    pings = [result for result in harness.results if result.endpoint is Endpoint.PING]
    assert [result.run.role for result in pings] == [Role.RETRIED, Role.RETRIED, Role.DECISIVE]
    assert pings[-1].run.token_rejected


def test_a_403_that_names_the_token_is_a_rejection() -> None:
    """One login and one more ping follow, in the same run."""
    invalid = vary(UNAUTHORIZED, reason=Reason.FORBIDDEN, status=403)
    first = []

    def ping(_harness: VirtualTimeHarness, token: object) -> Result:
        first.append(token)
        return invalid if token is first[0] and len(first) > 3 else PONG

    harness = VirtualTimeHarness(lambda harness, _: harness.granted(), ping)
    harness.run(200)
    assert set(harness.outcomes(Endpoint.PING)) == {None}
    assert [result.run.cause for result in harness.results if result.run.cause][-1] is LoginCause.REJECTED


@pytest.mark.parametrize("interval,probes", [(3600.0, 23), (600.0, 143), (None, 0)])
def test_the_unauthenticated_probe_comes_at_its_interval(interval: float | None, probes: int) -> None:
    """It follows a ping that succeeded, and `off` disables it."""
    harness = VirtualTimeHarness(
        lambda harness, _: harness.granted(), settings=replace(SETTINGS, unauthenticated_interval=interval)
    )
    harness.run(DAY)
    unauthenticated = [result for result in harness.results if result.run.role is Role.UNAUTHENTICATED]
    assert len(unauthenticated) == pytest.approx(probes, abs=4 if probes else 0)
    assert {result.verdict.reason for result in unauthenticated} <= {Reason.UNAUTHORIZED}


def test_a_result_shows_whether_its_request_was_sent() -> None:
    """A failure before the request sent nothing; an internal error without phases may have sent the request."""
    assert not DOWN.sent
    assert NO_RESPONSE.sent
    assert vary(DOWN, reason=Reason.INTERNAL).sent
    assert vary(DOWN, phases={Phase.TLS: 1.0}).sent is False
    assert vary(DOWN, reason=Reason.INTERNAL, phases={Phase.CONNECT: 0.0}).sent is False
    assert vary(DOWN, reason=Reason.INTERNAL, phases={Phase.PROCESSING: 0.0}).sent
