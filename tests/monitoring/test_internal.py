"""Internal failures leave the state of the vendor unknown: they confirm nothing, and cause no `no_token`."""

from __future__ import annotations

import itertools

from monitor.model import Endpoint, FieldNames, Reason, Role, Token
from tests.support.results import vary
from tests.support.virtual_time import DOWN, PONG, WELL, VirtualTimeHarness

PING_DOWN = vary(DOWN, endpoint=Endpoint.PING)
PING_UNKNOWN = vary(PONG, reason=Reason.INTERNAL, status=None)
LOGIN_UNKNOWN = vary(WELL, reason=Reason.INTERNAL, status=None)
TOKEN = Token(value="x", lifetime=1e6, expires=1e6, expires_at=1e6)


def granted(_harness: VirtualTimeHarness, _names: FieldNames) -> object:
    """Grant a token that lasts."""
    return vary(WELL, token=TOKEN)


def pinging(*outcomes: object) -> tuple[VirtualTimeHarness, list[object]]:
    """Return a harness whose pings have these outcomes, then succeed."""
    left = list(outcomes)
    harness = VirtualTimeHarness(
        granted,  # type: ignore[arg-type]
        lambda _harness, _token: left.pop(0) if left else PONG,  # type: ignore[arg-type, return-value]
    )
    return harness, left


def intervals(harness: VirtualTimeHarness) -> list[float]:
    """Return the seconds between the pings, rounded."""
    times = harness.pings()
    return [round(later - earlier) for earlier, later in itertools.pairwise(times)]


def test_an_internal_failure_is_not_confirmed() -> None:
    """The next ping is the scheduled one."""
    harness, _ = pinging(PONG, PING_UNKNOWN, PING_UNKNOWN)
    harness.run(150)
    assert intervals(harness) == [30] * 4


def test_a_failure_after_an_internal_one_is_confirmed() -> None:
    """The internal failure is no failure in a row: the outage that follows is confirmed within seconds."""
    harness, _ = pinging(PONG, PING_UNKNOWN, PING_DOWN, PING_DOWN, PING_DOWN)
    harness.run(100)
    assert intervals(harness)[:4] == [30, 30, 5, 5]


def test_internal_failures_end_the_confirmation() -> None:
    """The monitor does not ping at the confirm interval for as long as it lacks something."""
    harness, _ = pinging(PONG, PING_DOWN, *[PING_UNKNOWN] * 20)
    harness.run(200)
    assert intervals(harness).count(5) == 2


def test_a_ping_without_a_token_is_internal_if_the_login_was() -> None:
    """A login that the vendor did not grant makes it `no_token`."""
    outcomes = {Reason.INTERNAL: LOGIN_UNKNOWN, Reason.NO_TOKEN: DOWN}
    for reason, login in outcomes.items():
        harness = VirtualTimeHarness(lambda *_, login=login: login)
        harness.run(100)
        pings = [
            result
            for result in harness.results
            if result.endpoint is Endpoint.PING and result.run.role is Role.DECISIVE
        ]
        assert {result.verdict.reason for result in pings} == {reason}


def test_a_login_without_a_thread_is_recorded_only_if_it_was_due() -> None:
    """A run that would have waited for the next login loses nothing."""
    harness, _ = pinging()
    error = RuntimeError("can't start new thread")
    harness.environment.login_not_started(error)  # the first
    harness.run(10)
    harness.environment.login_not_started(error)
    harness.environment.ping_not_started(error)
    unknown = [result for result in harness.results if result.verdict.reason is Reason.INTERNAL]
    assert [result.endpoint for result in unknown] == [Endpoint.TOKEN, Endpoint.PING]
    assert "starts no further thread" in unknown[0].verdict.detail
