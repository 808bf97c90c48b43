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
from monitor.model import Endpoint, FieldNames, HostCheck, LoginCause, Phase, Reason, Result, Token
from monitor.monitoring.environment import Prober
from monitor.monitoring.login import Logins
from monitor.monitoring.negotiation import PAUSES
from tests.reporting.test_metrics import SETTINGS
from tests.support.day import CREDENTIALS, DAY, DOWN, HOUR, NO_RESPONSE, PONG, REJECTED, UNAUTHORIZED, WELL, Day

DOCUMENTED, RFC6749 = FieldNames.DOCUMENTED, FieldNames.RFC6749
AUTH, PING = SETTINGS.auth_interval, SETTINGS.ping_interval
MINUTE = 60.0
SETTINGS = replace(SETTINGS, credentials=CREDENTIALS)
PINNED = replace(SETTINGS, form_fields=DOCUMENTED)
NAMED = replace(WELL, reason=Reason.REJECTED_REQUEST, status=400, refused=True, names_credentials=True)
BAD_REQUEST = replace(NAMED, names_credentials=False)
ERROR_500 = replace(WELL, reason=Reason.SERVER_ERROR, status=500)


def failing(reason: Reason, status: int | None = None, retry_after: float | None = None) -> Result:
    """Return a login that failed without a refusal."""
    return replace(WELL, reason=reason, status=status, retry_after=retry_after)


class Script:
    """Responses in order; the last one repeats. None is a grant."""

    def __init__(self, *results: Result | None) -> None:
        self._results = list(results)

    def __call__(self, day: Day, _names: FieldNames) -> Result:
        """Return the next response."""
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        return result or day.granted()


def gaps(moments: list[float]) -> list[float]:
    """Return the seconds between neighbours."""
    return [later - earlier for earlier, later in itertools.pairwise(moments)]


# Field names.


@pytest.mark.parametrize("refusal", [REJECTED, NAMED, BAD_REQUEST, replace(ERROR_500, refused=True)], ids=str)
def test_the_other_names_follow_any_refusal_in_the_same_run(refusal: Result) -> None:
    """A server that takes `username` grants the second request, whatever its refusal of `Username` looks like."""
    day = Day(lambda day, names: day.granted() if names is RFC6749 else refusal)
    day.run(HOUR)
    assert day.names()[:2] == [DOCUMENTED, RFC6749]
    assert day.names().count(DOCUMENTED) == 1
    assert day.outcomes(Endpoint.TOKEN)[0] is None
    assert [result.field_names_settled for result in day.results if result.endpoint is Endpoint.TOKEN][1]


@pytest.mark.parametrize("result", [DOWN, NO_RESPONSE, ERROR_500, failing(Reason.FORBIDDEN, 403)], ids=str)
def test_nothing_but_a_refusal_makes_the_other_names_follow(result: Result) -> None:
    """A run that meets an outage sends one request, and the next run begins with the names that got fewer responses."""
    day = Day(lambda *_: result)
    day.run(10 * MINUTE)
    assert len(day.runs) == len(day.logins()) > 2
    answered = result.status is not None
    assert day.names()[1] is (RFC6749 if answered else DOCUMENTED)


@pytest.mark.parametrize("names", FieldNames)
def test_an_outage_at_first_contact_settles_no_name(names: FieldNames) -> None:
    """After ten minutes of 500 the names that the server takes are found, whichever they are."""
    day = Day(lambda day, sent: ERROR_500 if day.now < 1600 else day.granted() if sent is names else REJECTED)
    day.run(HOUR)
    assert day.outcomes(Endpoint.TOKEN)[-1] is None
    assert not day.environment.credentials_rejected


@pytest.mark.parametrize(
    "second",
    [NO_RESPONSE, failing(Reason.DISCONNECT), ERROR_500, failing(Reason.SERVER_ERROR, 503, 60.0),
     failing(Reason.FORBIDDEN, 403), failing(Reason.RATE_LIMITED, 429)],
    ids=str,
)  # fmt: skip
def test_one_lost_request_at_first_contact_settles_nothing(second: Result, tmp_path: Path) -> None:
    """Right credentials log in soon after, also if the monitor restarts meanwhile."""
    day = Day(Script(BAD_REQUEST, second, None), state_dir=tmp_path)
    day.run(10)
    day.restart()
    day.run(10 * MINUTE)
    assert day.names()[:3] == [DOCUMENTED, RFC6749, RFC6749]
    assert day.environment.token is not None


def test_three_other_responses_settle_a_name_whose_other_was_refused() -> None:
    """A server that answers 500 to a missing field: then the refusal of the other names rejects the credentials."""
    day = Day(lambda _day, names: ERROR_500 if names is DOCUMENTED else NAMED, logins_only=True)
    day.run(10 * MINUTE)
    assert day.names() == [DOCUMENTED, RFC6749, DOCUMENTED, DOCUMENTED, DOCUMENTED]
    assert day.environment.credentials_rejected
    last = [result for result in day.results if result.endpoint is Endpoint.TOKEN][-1]
    assert last.credentials_rejected
    assert "username/password: status 400" in last.other_refusal
    day.run(DAY)
    assert set(day.names()[5:]) == {RFC6749}


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
def test_the_refusal_that_reveals_more_decides(documented: Result, rfc6749: Result, preferred: FieldNames) -> None:
    """It is the decisive Result, the other stands in it as text, and later runs send its names alone."""
    answers = {DOCUMENTED: replace(documented, detail="the first"), RFC6749: replace(rfc6749, detail="the second")}
    day = Day(lambda _day, names: answers[names], logins_only=True)
    day.run(DAY)
    assert day.names() == [DOCUMENTED, RFC6749, preferred]
    retried, decisive = [result for result in day.results if result.endpoint is Endpoint.TOKEN][:2]
    assert (retried.retried, decisive.retried) == (True, False)
    assert decisive.field_names is preferred
    assert decisive.credentials_rejected
    assert answers[FieldNames(retried.field_names or "")].detail in decisive.other_refusal


def test_granted_names_are_kept_per_token_url_across_credentials(tmp_path: Path) -> None:
    """Other credentials at the same server cost one request, another server is a first contact."""
    day = Day(lambda day, names: day.granted() if names is RFC6749 else BAD_REQUEST, state_dir=tmp_path)
    day.run(MINUTE)
    day.restart()
    day.use(credentials=EnvironmentCredentials("id", "secret", "user", "another"))
    day.run(MINUTE)
    assert day.names() == [DOCUMENTED, RFC6749, RFC6749]
    day.use(token_url="https://elsewhere.example/oauth/token")
    day.run(MINUTE)
    assert day.names()[3:] == [DOCUMENTED, RFC6749]


# Rejected credentials.


def test_a_rejected_password_is_sent_three_times() -> None:
    """At once, after 20 minutes, after another hour; then logins stop."""
    day = Day(lambda *_: REJECTED, settings=PINNED, logins_only=True)
    day.run(30 * DAY)
    assert [round(gap / MINUTE) for gap in gaps(day.logins())] == [20, 60]
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf
    assert day.environment.credentials_rejected
    decisive = [result for result in day.results if result.endpoint is Endpoint.TOKEN]
    assert [result.attempts_left for result in decisive] == [2, 1, 0]
    assert decisive[-1].suppressed_until == math.inf


@pytest.mark.parametrize("limit,days", [(1, []), (2, [0]), (4, [0, 0, 1]), (5, [0, 0, 1, 1])])
def test_the_limit_counts_requests(limit: int, days: list[int]) -> None:
    """Above three, they go on daily until it is reached."""
    day = Day(lambda *_: REJECTED, settings=replace(PINNED, rejected_logins=limit), logins_only=True)
    day.run(30 * DAY)
    assert [round(gap / DAY) for gap in gaps(day.logins())] == days
    assert len(day.logins()) == limit


def test_a_first_contact_may_spend_two_at_once() -> None:
    """The third is sent 20 minutes later, and with a limit of two there is none."""
    day = Day(lambda *_: REJECTED, settings=SETTINGS, logins_only=True)
    day.run(30 * DAY)
    assert [round(gap / MINUTE) for gap in gaps(day.logins())] == [0, 20]
    day = Day(lambda *_: REJECTED, settings=replace(SETTINGS, rejected_logins=2), logins_only=True)
    day.run(30 * DAY)
    assert len(day.logins()) == 2


def test_requests_without_a_response_count_after_the_first_refusal() -> None:
    """The server may have counted them; those before it do not count."""
    day = Day(Script(*[NO_RESPONSE] * 5, REJECTED, NO_RESPONSE), settings=PINNED, logins_only=True)
    day.run(30 * DAY)
    assert len(day.logins()) == 5 + 3
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf


@pytest.mark.parametrize(
    "result",
    [DOWN, ERROR_500, failing(Reason.RATE_LIMITED, 429), failing(Reason.SERVER_ERROR, 503, 0.0),
     failing(Reason.REJECTED_REQUEST, 404), failing(Reason.UNEXPECTED_STATUS, 302)],
    ids=str,
)  # fmt: skip
def test_other_failures_neither_count_nor_shorten_the_pause(result: Result) -> None:
    """After a refusal each of them repeats the pause."""
    day = Day(Script(REJECTED, result), settings=PINNED, logins_only=True)
    day.run(DAY)
    assert min(gaps(day.logins())) >= PAUSES[0]
    assert len(day.logins()) > 10
    assert day.environment.backoff(Endpoint.TOKEN) < math.inf


def test_a_grant_ends_the_rejection() -> None:
    """The count begins again with the next refusal."""
    day = Day(Script(REJECTED, REJECTED, None, REJECTED), settings=PINNED, logins_only=True)
    day.run(30 * DAY)
    assert len(day.logins()) == 3 + 3
    refused = [result.attempts_left for result in day.results if result.refused]
    assert refused == [2, 1, 2, 1, 0]


def test_a_200_that_breaks_off_counts_as_no_response() -> None:
    """Its body may have been a refusal."""
    broken = replace(WELL, reason=Reason.DISCONNECT)
    day = Day(Script(REJECTED, broken), settings=PINNED, logins_only=True)
    day.run(30 * DAY)
    assert len(day.logins()) == 3


def test_restarts_change_nothing(tmp_path: Path) -> None:
    """Count and pause outlive the process, however often it starts."""
    day = Day(lambda *_: REJECTED, settings=PINNED, state_dir=tmp_path)
    for _ in range(300):
        day.run(290)
        day.restart(10)
    assert [round(gap / MINUTE) for gap in gaps(day.logins())] == [20, 60]
    assert day.environment.attempted
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf


class KilledError(BaseException):
    """Ends the process while a request is in flight."""


def test_a_process_that_ends_before_the_response_has_sent_the_password(tmp_path: Path) -> None:
    """One such request delays nothing, the second pauses logins, the third stops them, and no cause is invented."""

    def killed(_day: Day, _names: FieldNames) -> Result:
        raise KilledError

    day = Day(killed, state_dir=tmp_path, logins_only=True)
    for expected in (0.0, PAUSES[0], math.inf):
        with pytest.raises(KilledError):
            day.run(2 * HOUR)
        day.restart()
        assert day.environment.backoff(Endpoint.TOKEN) == pytest.approx(expected, abs=1)
        assert day.environment.credentials_rejected is (expected == math.inf)
    assert len(day.logins()) == 3
    day.run(30 * DAY)
    assert len(day.logins()) == 3


def test_the_record_is_written_before_the_request_leaves(tmp_path: Path) -> None:
    """What a kill at the worst moment finds on disk: a request in flight, and when it began."""
    stored = []

    def look(day: Day, _names: FieldNames) -> Result:
        stored.append(json.loads((tmp_path / "state.json").read_text()))
        return day.granted()

    day = Day(look, state_dir=tmp_path)
    day.run(1)
    (login,) = stored[0]["hosts"][SETTINGS.token_url]["logins"]
    assert login["in_flight"]
    assert stored[0]["last_logins"]["prod"] == pytest.approx(day.wall + 1000, abs=1)


def test_changed_credentials_are_tried_at_once_and_changed_back_resume_the_count() -> None:
    """The last four credentials are remembered; a login waits for nothing but the ping interval."""
    day = Day(lambda *_: REJECTED, settings=PINNED, logins_only=True)
    day.run(DAY)
    for password in ("second", "third", "fourth"):
        day.use(credentials=replace(CREDENTIALS, password=password))
        before = len(day.logins())
        day.run(PING + 1)
        assert len(day.logins()) == before + 1
    day.use(credentials=CREDENTIALS)
    before = len(day.logins())
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf
    day.run(30 * DAY)
    assert len(day.logins()) == before


def test_environments_with_the_same_credentials_share_the_count() -> None:
    """A second environment at the same server sends no more than the first may."""
    day = Day(lambda *_: REJECTED, settings=PINNED)
    day.run(10)
    other = Day(lambda *_: REJECTED, settings=replace(PINNED, name="nar"))
    other.clock, other.state = day.clock, day.state
    other.now = day.now
    other.environment = type(day.environment)(other.settings, other, other, day.state, day.clock)
    assert other.environment.credentials_rejected
    assert other.environment.backoff(Endpoint.TOKEN) == day.environment.backoff(Endpoint.TOKEN)
    other.environment.run_login()
    assert other.logins() == []


# Operator's attempts.


def test_a_reload_grants_one_attempt_per_rejection(tmp_path: Path) -> None:
    """With both field names; a second reload grants none, not even after a restart."""
    day = Day(lambda *_: REJECTED, state_dir=tmp_path, logins_only=True)
    day.run(30 * DAY)
    before = len(day.logins())
    assert day.environment.logins.request_after_reload()
    day.run(HOUR)
    assert [round(gap) for gap in gaps(day.logins()[before:])] == [0]
    assert not day.environment.logins.request_after_reload()
    day.restart()
    assert not day.environment.logins.request_after_reload()
    day.run(HOUR)
    assert len(day.logins()) == before + 2
    causes = [result.cause for result in day.results if result.cause is not None]
    assert causes[-1] is LoginCause.OPERATOR


def test_an_attempt_that_never_reached_the_server_is_not_used_up() -> None:
    """A reload in an outage may be repeated after it."""
    day = Day(Script(REJECTED, REJECTED, REJECTED, DOWN, None), settings=PINNED, logins_only=True)
    day.run(30 * DAY)
    assert day.environment.logins.request_after_reload()
    day.run(MINUTE)
    assert day.environment.backoff(Endpoint.TOKEN) == math.inf
    assert day.environment.logins.request_after_reload()
    day.run(MINUTE)
    assert day.environment.token is not None


def test_a_signal_grants_one_attempt_in_five_minutes() -> None:
    """Also where a 403 delays the next login; if nothing delays it, there is nothing to grant."""
    day = Day(lambda *_: REJECTED, settings=PINNED, logins_only=True)
    day.run(30 * DAY)
    assert day.environment.logins.request_after_signal()
    day.run(MINUTE)
    assert len(day.logins()) == 4
    assert not day.environment.logins.request_after_signal()
    day.run(4 * MINUTE)
    assert day.environment.logins.request_after_signal()
    forbidden = Day(lambda *_: failing(Reason.FORBIDDEN, 403), logins_only=True)
    forbidden.run(HOUR)
    assert forbidden.environment.logins.request_after_signal()
    well = Day(lambda day, _: day.granted(), logins_only=True)
    well.run(HOUR)
    assert not well.environment.logins.request_after_signal()


def test_an_account_that_was_disabled_at_first_contact_logs_in_after_a_reload() -> None:
    """Keycloak refuses `Username` as a missing field and `username` as disabled; both are sent on request."""
    enabled = False

    def keycloak(day: Day, names: FieldNames) -> Result:
        if names is DOCUMENTED:
            return REJECTED
        return day.granted() if enabled else NAMED

    day = Day(keycloak, logins_only=True)
    day.run(DAY)
    assert day.names() == [DOCUMENTED, RFC6749, RFC6749]
    enabled = True
    assert day.environment.logins.request_after_reload()
    day.run(MINUTE)
    assert day.names()[3:] == [RFC6749]
    assert day.environment.token is not None


# The schedule.


@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0, 29.0])
@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_names_no_useful_time_gets_growing_pauses(status: int, retry_after: float | None) -> None:
    """`Retry-After: 0` or a date in the past is no permission to log in again and again."""
    reason = Reason.RATE_LIMITED if status == 429 else Reason.SERVER_ERROR
    day = Day(lambda *_: failing(reason, status, retry_after), logins_only=True)
    day.run(DAY)
    assert min(gaps(day.logins())) >= PING
    assert len(day.logins()) <= DAY / (50 if status == 503 else 700)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(status: int) -> None:
    """The next login comes when the server asked for it."""
    reason = Reason.RATE_LIMITED if status == 429 else Reason.SERVER_ERROR
    day = Day(Script(failing(reason, status, 700.0), None))
    day.run(HOUR)
    assert gaps(day.logins())[0] == pytest.approx(700, abs=1)


@pytest.mark.parametrize("ping_interval,auth_interval", [(400.0, 300.0), (600.0, 300.0), (30.0, 300.0), (60.0, 60.0)])
def test_a_login_is_due_one_interval_after_the_last(ping_interval: float, auth_interval: float) -> None:
    """With a ping interval that is longer than the login interval, that is the distance."""
    settings = replace(SETTINGS, ping_interval=ping_interval, auth_interval=auth_interval)
    day = Day(lambda day, _: day.granted(), settings=settings)
    day.run(DAY / 4)
    assert gaps(day.logins()) == pytest.approx([max(ping_interval, auth_interval)] * (len(day.logins()) - 1), abs=0.1)


def test_tokens_that_last_one_interval_cost_one_login_each() -> None:
    """A renewal before the expiry moves the schedule along with it."""
    day = Day(lambda day, _: day.granted(AUTH))
    day.run(DAY)
    assert gaps(day.logins()) == pytest.approx([AUTH - 60] * (len(day.logins()) - 1), abs=0.1)
    assert set(day.outcomes(Endpoint.PING)) == {None}


def test_a_reload_with_other_intervals_causes_no_login() -> None:
    """It moves the next one."""
    day = Day(lambda day, _: day.granted())
    day.run(100)
    for interval in (200.0, 250.0, 300.0):
        day.use(auth_interval=interval)
        day.run(10)
    assert len(day.logins()) == 1
    day.run(250)
    assert gaps(day.logins()) == pytest.approx([300], abs=0.1)


def test_logins_keep_their_distance_over_restarts(tmp_path: Path) -> None:
    """A ping waits for that login instead of failing for want of a token."""
    day = Day(lambda day, _: day.granted(), state_dir=tmp_path)
    day.run(10)
    day.restart()
    day.run(HOUR)
    assert gaps(day.logins())[0] == pytest.approx(PING, abs=0.1)
    assert set(day.outcomes(Endpoint.PING)) == {None}


def test_a_failed_check_of_the_token_host_brings_the_next_login_forward() -> None:
    """Two failures in a row do, once per login interval; a login then names the cause."""
    day = Day(lambda day, _: day.granted() if day.now < 1400 else DOWN)
    day.run(400)
    day.host_reason = Reason.CONNECT
    day.run(2 * PING + 1)
    assert day.outcomes(Endpoint.TOKEN)[-1] is Reason.CONNECT
    assert [check.reachable for check in day.checks][-2:] == [False, False]


@pytest.mark.parametrize(
    "reason,seconds",
    [(Reason.CONNECT, 0.0), (Reason.TLS, 0.1), (Reason.TIMEOUT, SETTINGS.timeout), (Reason.DNS, 3.0),
     (Reason.CERTIFICATE, 0.1)],
)  # fmt: skip
@pytest.mark.parametrize("offset", range(0, 61, 5))
def test_a_dead_token_host_is_seen_within_two_intervals_and_two_timeouts(
    reason: Reason, seconds: float, offset: int
) -> None:
    """At whatever moment it dies, with a login interval of an hour."""
    dead: list[float] = []

    def log_in(day: Day, _names: FieldNames) -> Result:
        if not dead:
            return day.granted(DAY)
        day.now += seconds
        return failing(reason)

    class Host(Day):
        def check_token_host(self) -> HostCheck:
            self.now += seconds if dead else 0.0
            return super().check_token_host()

    day = Host(log_in, settings=replace(SETTINGS, auth_interval=HOUR))
    day.run(600 + offset)
    dead.append(day.now)
    day.host_reason = reason
    while day.outcomes(Endpoint.TOKEN)[-1] is None:
        day.run(0.1)
        assert day.now - dead[0] <= 2 * PING + 2 * SETTINGS.timeout + 0.2
    assert day.outcomes(Endpoint.TOKEN)[-1] is reason


def test_checks_of_a_token_host_cause_one_login_per_interval() -> None:
    """A host that fails checks and grants logins is no reason to log in more often than twice."""
    day = Day(lambda day, _: day.granted(), host_reason=Reason.TLS)
    day.run(DAY)
    assert len(day.logins()) <= 2 * DAY / AUTH
    stopped = Day(lambda *_: REJECTED, host_reason=Reason.TLS)
    stopped.run(DAY)
    assert len(stopped.logins()) == 3


# Tokens.


def test_a_reload_in_the_middle_of_a_ping_sends_no_token_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that has read the old token does not send it through the new settings."""
    day = Day(lambda day, _: day.granted())
    day.run(MINUTE)
    old = day.environment.token
    usable, sent_to = Logins.usable_token, list[str]()

    class Host:
        """Sends pings to one host."""

        def __init__(self, name: str) -> None:
            self.name = name

        def ping(self, token: Token | None) -> Result:
            """Note which host gets the old token."""
            sent_to.extend([self.name] if token is old else [])
            return day.ping(token)

        def __getattr__(self, name: str) -> object:
            return getattr(day, name)

    def reload_meanwhile(logins: Logins) -> Token | None:
        token: Token | None = usable.__get__(logins)
        if day.settings.api_url != "https://elsewhere.example/ClientAPI":
            day.settings = replace(day.settings, api_url="https://elsewhere.example/ClientAPI")
            day.environment.use(day.settings, cast("Prober", Host("new")))
        return token

    monkeypatch.setattr(Logins, "usable_token", property(reload_meanwhile))
    day.environment.run_ping()
    assert sent_to == []


def test_a_token_that_the_api_accepts_late_fails_no_ping() -> None:
    """A 401 to a young token is retried, the token is kept, and the lag is reported once per token."""
    day = Day(
        lambda day, _: day.granted(),
        lambda day, token: PONG if token and token.age(day.now) > 2 else UNAUTHORIZED,
    )
    day.run(HOUR)
    assert set(day.outcomes(Endpoint.PING)) == {None}
    assert not any(result.token_rejected for result in day.results)
    assert len(day.logins()) == HOUR / AUTH + 1
    lags = [result.token_lag for result in day.results if result.token_lag is not None]
    assert len(lags) == pytest.approx(len(day.logins()), abs=1)
    assert max(lags) <= 2


def test_a_401_decides_once_the_token_is_ten_seconds_old() -> None:
    """Then it is a rejection."""
    day = Day(lambda day, _: day.granted(), lambda *_: UNAUTHORIZED)
    day.run(20)
    pings = [result for result in day.results if result.endpoint is Endpoint.PING]
    assert [result.retried for result in pings] == [True, True, False]
    assert pings[-1].token_rejected


def test_a_403_that_names_the_token_is_a_rejection() -> None:
    """One login and one more ping follow, in the same run."""
    invalid = replace(UNAUTHORIZED, reason=Reason.FORBIDDEN, status=403)
    first = []

    def ping(_day: Day, token: object) -> Result:
        first.append(token)
        return invalid if token is first[0] and len(first) > 3 else PONG

    day = Day(lambda day, _: day.granted(), ping)
    day.run(200)
    assert set(day.outcomes(Endpoint.PING)) == {None}
    assert [result.cause for result in day.results if result.cause][-1] is LoginCause.REJECTED


@pytest.mark.parametrize("interval,probes", [(3600.0, 23), (600.0, 143), (None, 0)])
def test_the_unauthenticated_probe_comes_at_its_interval(interval: float | None, probes: int) -> None:
    """It follows a ping that succeeded, and `off` turns it off."""
    day = Day(lambda day, _: day.granted(), settings=replace(SETTINGS, unauthenticated_interval=interval))
    day.run(DAY)
    found = [result for result in day.results if result.unauthenticated]
    assert len(found) == pytest.approx(probes, abs=4 if probes else 0)
    assert {result.reason for result in found} <= {Reason.UNAUTHORIZED}


def test_a_result_knows_whether_its_request_left() -> None:
    """A connection that was never made sent nothing; an internal fault may have."""
    assert not DOWN.sent
    assert NO_RESPONSE.sent
    assert replace(DOWN, reason=Reason.INTERNAL).sent
    assert replace(DOWN, phases={Phase.TLS: 1.0}).sent is False
