"""It never hammers: what each failure costs the servers in a day, and in its busiest hour."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.model import Endpoint, FieldNames, LoginCause, Reason, Result, Token
from monitor.monitoring.backoff import JITTER
from tests.reporting.test_metrics import SETTINGS
from tests.support.virtual_time import CREDENTIALS, DAY, DOWN, HOUR, PONG, UNAUTHORIZED, WELL, Day, busiest_hour

AUTH, PING = SETTINGS.auth_interval, SETTINGS.ping_interval
PER_HOUR = HOUR / PING  # scheduled pings
MINUTE = 60.0
PINNED = replace(SETTINGS, credentials=CREDENTIALS, form_fields=FieldNames.DOCUMENTED)


def well(day: Day, _names: FieldNames) -> Result:
    """Grant every login."""
    return day.granted()


def failing(reason: Reason, status: int | None = None, retry_after: float | None = None) -> Result:
    """Return a login that failed."""
    return replace(WELL, reason=reason, status=status, retry_after=retry_after)


def test_a_good_day_is_its_schedule() -> None:
    """A login per auth_interval, a ping per ping_interval, one token for many pings, one probe an hour without one."""
    day = Day(well)
    day.run(DAY)
    assert len(day.logins()) == pytest.approx(DAY / AUTH, abs=1)
    unauthenticated = [sent for sent in day.sent if sent.endpoint is Endpoint.PING and sent.token is None]
    assert len(unauthenticated) == pytest.approx(DAY / HOUR, abs=1)
    assert len(day.pings()) - len(unauthenticated) == pytest.approx(DAY / PING, abs=1)
    assert set(day.outcomes(Endpoint.PING)) == {None}
    causes = {told.cause for told in day.results if told.endpoint is Endpoint.TOKEN}
    assert causes == {LoginCause.INITIAL, LoginCause.SCHEDULED}


@pytest.mark.parametrize(
    "answer,ceiling",
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
    ids=lambda value: str(value.reason) if isinstance(value, Result) else None,
)
def test_a_login_that_fails_all_day_has_a_ceiling(answer: Result, ceiling: float) -> None:
    """In its busiest hour; and it is tried at least every quarter of an hour."""
    day = Day(lambda *_: answer, settings=PINNED)
    day.run(DAY)
    assert busiest_hour(day.logins()) <= ceiling
    assert max(later - earlier for earlier, later in zip(day.logins(), day.logins()[1:], strict=False)) <= 901
    assert len(day.pings()) <= DAY / PING + 1  # the questions without a token
    assert set(day.outcomes(Endpoint.PING)) == {Reason.NO_TOKEN}


def test_a_failed_renewal_leaves_the_token_in_use() -> None:
    """Until it expires; then pings have none."""
    day = Day(lambda day, _: day.granted(HOUR) if len(day.logins()) == 1 else DOWN)
    day.run(HOUR - MINUTE)
    assert set(day.outcomes(Endpoint.PING)) == {None}
    day.run(2 * MINUTE)
    assert day.outcomes(Endpoint.PING)[-1] is Reason.NO_TOKEN
    assert (day.environment.headroom() or 0) < 0


def test_a_rejected_token_is_replaced_at_once_and_at_most_once_per_auth_interval() -> None:
    """One login per interval in addition to the scheduled; a new token costs a few more pings."""
    day = Day(well, lambda *_: UNAUTHORIZED)
    day.run(DAY)
    assert busiest_hour(day.logins()) <= 2 * HOUR / AUTH + 1  # scheduled, and because of rejections
    assert busiest_hour(day.pings()) <= PER_HOUR + 2 * 4 * HOUR / AUTH + 1
    decisive = [result for result in day.results if result.endpoint is Endpoint.PING and not result.retried]
    assert all(result.token_rejected for result in decisive)


def test_a_revoked_token_costs_one_login_and_no_failed_turn() -> None:
    """The turn that met the 401 ends well."""
    revoked: list[Token] = []
    day = Day(well, lambda _, token: UNAUTHORIZED if token in revoked else PONG)
    day.run(HOUR / 2 - MINUTE)
    assert day.environment.token is not None
    revoked.append(day.environment.token)
    before = len(day.logins())
    day.run(PING + 1)
    assert len(day.logins()) == before + 1
    assert set(day.outcomes(Endpoint.PING)) == {None}
    assert [told.cause for told in day.results if told.cause is LoginCause.REJECTED] == [LoginCause.REJECTED]


@pytest.mark.parametrize("lifetime", [1.0, 5.0, 20.0, 45.0])
def test_a_tiny_lifetime_does_not_make_it_hammer(lifetime: float) -> None:
    """Logins because of expiry at most one per ping interval."""
    day = Day(lambda day, _: day.granted(lifetime))
    day.run(6 * HOUR)
    assert busiest_hour(day.logins()) <= PER_HOUR + HOUR / AUTH + 1
    assert busiest_hour(day.pings()) <= PER_HOUR + 1


@pytest.mark.parametrize("retry_after,gap", [(120.0, 120.0), (900.0, 900.0), (1.0, PING)])
def test_retry_after_holds_pings_back(retry_after: float, gap: float) -> None:
    """As long as the server says, and never less than an interval."""
    busy = replace(PONG, reason=Reason.RATE_LIMITED, status=429, retry_after=retry_after)
    day = Day(well, lambda *_: busy)
    day.run(DAY)
    gaps = [later - earlier for earlier, later in zip(day.pings(), day.pings()[1:], strict=False)]
    assert gap - 0.1 <= min(gaps)
    assert max(gaps) <= gap + PING + 0.1


def test_a_rate_limit_without_a_time_is_doubled() -> None:
    """From one interval up to two minutes, so that the end of the throttling is seen soon."""
    day = Day(well, lambda *_: replace(PONG, reason=Reason.RATE_LIMITED, status=429))
    day.run(DAY)
    assert busiest_hour([moment for moment in day.pings() if moment > HOUR]) <= HOUR / (120 * (1 - JITTER)) + 1
    gaps = [later - earlier for earlier, later in zip(day.pings(), day.pings()[1:], strict=False)]
    assert max(gaps) <= 120 + PING


@pytest.mark.parametrize("reason", [Reason.CONNECT, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.MALFORMED])
def test_an_outage_is_confirmed_in_seconds_then_measured_at_the_interval(reason: Reason) -> None:
    """Two pings at confirm_interval after the first failure, then every ping_interval."""
    day = Day(well, lambda day, _: PONG if day.now < 1300 else replace(PONG, reason=reason, status=None))
    day.run(HOUR)
    first = next(told for told in day.pings() if told >= 300)
    after = [round(moment - first) for moment in day.pings() if moment > first]
    assert after[:3] == [5, 10, 30]
    assert len(day.pings()) <= PER_HOUR + 3


@pytest.mark.parametrize("reason", [Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.RATE_LIMITED])
def test_a_refusal_is_not_confirmed(reason: Reason) -> None:
    """It is an answer, not an outage."""
    day = Day(well, lambda day, _: PONG if day.now < 1300 else replace(PONG, reason=reason, status=403))
    day.run(HOUR)
    first = next(told for told in day.pings() if told >= 300)
    assert not [moment for moment in day.pings() if first + 1 < moment < first + PING - 1]
    assert busiest_hour(day.pings()) <= PER_HOUR + HOUR / AUTH + 1


def test_a_flapping_api_costs_at_most_three_times_the_pings() -> None:
    """Each failure after a success is confirmed twice."""
    day = Day(well, lambda day, _: PONG if len(day.pings()) % 2 else replace(PONG, reason=Reason.TIMEOUT))
    day.run(DAY)
    assert busiest_hour(day.pings()) <= 3 * PER_HOUR + 3


@pytest.mark.parametrize("step", [-DAY, -HOUR, HOUR, DAY])
def test_a_step_of_the_wall_clock_moves_nothing(step: float) -> None:
    """Neither a renewal nor the end of a token."""
    day = Day(well)
    day.run(HOUR)
    before, headroom = len(day.logins()), day.environment.headroom()
    day.wall += step
    assert day.environment.headroom() == headroom
    day.run(HOUR)
    assert len(day.logins()) - before == pytest.approx(HOUR / AUTH, abs=1)
    assert set(day.outcomes(Endpoint.PING)) == {None}
