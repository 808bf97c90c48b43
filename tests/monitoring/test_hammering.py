"""Limits of the request rate: the requests that each failure causes in a day and in its busiest hour."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from monitor.model import Endpoint, FieldNames, LoginCause, Reason, Result, Role, Token
from monitor.monitoring.backoff import JITTER
from tests.reporting.test_metrics import SETTINGS
from tests.support.results import vary
from tests.support.virtual_time import (
    CREDENTIALS,
    DAY,
    DOWN,
    HOUR,
    PONG,
    UNAUTHORIZED,
    WELL,
    VirtualTimeHarness,
    busiest_hour,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # it would take most of the time, and the tests of the modules execute the same lines
]

AUTH, PING = SETTINGS.auth_interval, SETTINGS.ping_interval
PER_HOUR = HOUR / PING  # scheduled pings
MINUTE = 60.0
PINNED = replace(SETTINGS, credentials=CREDENTIALS, form_fields=FieldNames.DOCUMENTED)


def well(harness: VirtualTimeHarness, _names: FieldNames) -> Result:
    """Grant every login."""
    return harness.granted()


def failing(reason: Reason, status: int | None = None, retry_after: float | None = None) -> Result:
    """Return a login that failed."""
    return vary(WELL, reason=reason, status=status, retry_after=retry_after)


def test_a_day_without_failures_follows_the_schedule() -> None:
    """It has a login per auth_interval, a ping per ping_interval, and an unauthenticated probe per hour."""
    harness = VirtualTimeHarness(well)
    harness.run(DAY)
    assert len(harness.logins()) == pytest.approx(DAY / AUTH, abs=1)
    unauthenticated = [sent for sent in harness.sent if sent.endpoint is Endpoint.PING and sent.token is None]
    assert len(unauthenticated) == pytest.approx(DAY / HOUR, abs=1)
    assert len(harness.pings()) - len(unauthenticated) == pytest.approx(DAY / PING, abs=1)
    assert set(harness.outcomes(Endpoint.PING)) == {None}
    causes = {result.run.cause for result in harness.results if result.endpoint is Endpoint.TOKEN}
    assert causes == {LoginCause.INITIAL, LoginCause.SCHEDULED}


@pytest.mark.parametrize(
    "response,ceiling",
    [
        (
            DOWN,
            HOUR / (60 * (1 - JITTER)) + 2,
        ),  # without a token up to every 60 s, jitter included; the first two faster
        (failing(Reason.TIMEOUT, status=None), HOUR / (60 * (1 - JITTER)) + 2),
        (failing(Reason.SERVER_ERROR, status=503), HOUR / (60 * (1 - JITTER)) + 2),
        (failing(Reason.MALFORMED), HOUR / (60 * (1 - JITTER)) + 2),
        (failing(Reason.FORBIDDEN, status=403), HOUR / (900 * (1 - JITTER)) + 6),  # 30 s, doubling to 15 min
        (failing(Reason.RATE_LIMITED, status=429), HOUR / (900 * (1 - JITTER)) + 2),  # 5 min, doubling to 15 min
        (failing(Reason.RATE_LIMITED, status=429, retry_after=900.0), HOUR / 900 + 1),
        (failing(Reason.REJECTED_REQUEST, status=404), HOUR / (900 * (1 - JITTER)) + 6),
    ],
    ids=lambda value: str(value.verdict.reason) if isinstance(value, Result) else None,
)
def test_a_login_that_fails_all_day_is_limited(response: Result, ceiling: float) -> None:
    """The busiest hour has few logins, and one is attempted at least every quarter of an hour."""
    harness = VirtualTimeHarness(lambda *_: response, settings=PINNED)
    harness.run(DAY)
    assert busiest_hour(harness.logins()) <= ceiling
    assert max(later - earlier for earlier, later in zip(harness.logins(), harness.logins()[1:], strict=False)) <= 901
    assert len(harness.pings()) <= DAY / PING + 1  # the unauthenticated probes
    assert set(harness.outcomes(Endpoint.PING)) == {Reason.NO_TOKEN}


def test_a_failed_renewal_leaves_the_token_in_use() -> None:
    """It is used until it expires, and then pings have no token."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(HOUR) if len(harness.logins()) == 1 else DOWN)
    harness.run(HOUR - MINUTE)
    assert set(harness.outcomes(Endpoint.PING)) == {None}
    harness.run(2 * MINUTE)
    assert harness.outcomes(Endpoint.PING)[-1] is Reason.NO_TOKEN
    assert (harness.environment.headroom() or 0) < 0


def test_a_rejected_token_is_replaced_at_once_and_at_most_once_per_auth_interval() -> None:
    """Rejections add one login per interval to the scheduled ones, and each new token adds a few pings."""
    harness = VirtualTimeHarness(well, lambda *_: UNAUTHORIZED)
    harness.run(DAY)
    assert busiest_hour(harness.logins()) <= 2 * HOUR / AUTH + 1  # scheduled logins, and logins after rejections
    assert busiest_hour(harness.pings()) <= PER_HOUR + 2 * 4 * HOUR / AUTH + 1
    decisive = [
        result for result in harness.results if result.endpoint is Endpoint.PING and result.run.role is not Role.RETRIED
    ]
    assert all(result.run.token_rejected for result in decisive)


def test_a_revoked_token_causes_one_login_and_no_failed_run() -> None:
    """The run whose first ping got the 401 succeeds."""
    revoked: list[Token] = []
    harness = VirtualTimeHarness(well, lambda _, token: UNAUTHORIZED if token in revoked else PONG)
    harness.run(HOUR / 2 - MINUTE)
    assert harness.environment.token is not None
    revoked.append(harness.environment.token)
    before = len(harness.logins())
    harness.run(PING + 1)
    assert len(harness.logins()) == before + 1
    assert set(harness.outcomes(Endpoint.PING)) == {None}
    assert [result.run.cause for result in harness.results if result.run.cause is LoginCause.REJECTED] == [
        LoginCause.REJECTED
    ]


@pytest.mark.parametrize("lifetime", [1.0, 5.0, 20.0, 45.0])
def test_a_short_lifetime_causes_at_most_one_login_per_ping_interval(lifetime: float) -> None:
    """Logins because of expiry are limited by the ping interval."""
    harness = VirtualTimeHarness(lambda harness, _: harness.granted(lifetime))
    harness.run(6 * HOUR)
    assert busiest_hour(harness.logins()) <= PER_HOUR + HOUR / AUTH + 1
    assert busiest_hour(harness.pings()) <= PER_HOUR + 1


@pytest.mark.parametrize("retry_after,gap", [(120.0, 120.0), (900.0, 900.0), (1.0, PING)])
def test_retry_after_delays_pings(retry_after: float, gap: float) -> None:
    """The delay is what the server requests, and at least one interval."""
    busy = vary(PONG, reason=Reason.RATE_LIMITED, status=429, retry_after=retry_after)
    harness = VirtualTimeHarness(well, lambda *_: busy)
    harness.run(DAY)
    gaps = [later - earlier for earlier, later in zip(harness.pings(), harness.pings()[1:], strict=False)]
    assert gap - 0.1 <= min(gaps)
    assert max(gaps) <= gap + PING + 0.1


def test_the_pause_after_a_rate_limit_without_a_time_doubles() -> None:
    """It doubles from one interval to two minutes, so that the end of the throttling is detected soon."""
    harness = VirtualTimeHarness(well, lambda *_: vary(PONG, reason=Reason.RATE_LIMITED, status=429))
    harness.run(DAY)
    assert busiest_hour([moment for moment in harness.pings() if moment > HOUR]) <= HOUR / (120 * (1 - JITTER)) + 1
    gaps = [later - earlier for earlier, later in zip(harness.pings(), harness.pings()[1:], strict=False)]
    assert max(gaps) <= 120 + PING


@pytest.mark.parametrize("reason", [Reason.CONNECT, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.MALFORMED])
def test_an_outage_is_confirmed_in_seconds_then_measured_at_the_interval(reason: Reason) -> None:
    """Two pings follow the first failure at confirm_interval, then one every ping_interval."""
    harness = VirtualTimeHarness(
        well, lambda harness, _: PONG if harness.now < 1300 else vary(PONG, reason=reason, status=None)
    )
    harness.run(HOUR)
    first = next(moment for moment in harness.pings() if moment >= 300)
    after = [round(moment - first) for moment in harness.pings() if moment > first]
    assert after[:3] == [5, 10, 30]
    assert len(harness.pings()) <= PER_HOUR + 3


@pytest.mark.parametrize("reason", [Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.RATE_LIMITED])
def test_a_refusal_is_not_confirmed(reason: Reason) -> None:
    """It is a response and no outage."""
    harness = VirtualTimeHarness(
        well, lambda harness, _: PONG if harness.now < 1300 else vary(PONG, reason=reason, status=403)
    )
    harness.run(HOUR)
    first = next(moment for moment in harness.pings() if moment >= 300)
    assert not [moment for moment in harness.pings() if first + 1 < moment < first + PING - 1]
    assert busiest_hour(harness.pings()) <= PER_HOUR + HOUR / AUTH + 1


def test_a_flapping_api_causes_at_most_three_times_the_pings() -> None:
    """Each failure after a success is confirmed twice."""
    responses = itertools.cycle([vary(PONG, reason=Reason.TIMEOUT), PONG])
    harness = VirtualTimeHarness(well, lambda *_: next(responses))
    harness.run(DAY)
    assert busiest_hour(harness.pings()) <= 3 * PER_HOUR + 3


@pytest.mark.parametrize("step", [-DAY, -HOUR, HOUR, DAY])
def test_a_step_of_the_wall_clock_moves_nothing(step: float) -> None:
    """Renewals and the expiry of a token stay at the same time."""
    harness = VirtualTimeHarness(well)
    harness.run(HOUR)
    before, headroom = len(harness.logins()), harness.environment.headroom()
    harness.wall += step
    assert harness.environment.headroom() == headroom
    harness.run(HOUR)
    assert len(harness.logins()) - before == pytest.approx(HOUR / AUTH, abs=1)
    assert set(harness.outcomes(Endpoint.PING)) == {None}
