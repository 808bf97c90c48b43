"""Observed and down time: known states advance the sums, unknown states do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Endpoint, Reason, Result, Role
from monitor.reporting.observed_time import GRACE, ObservedTime
from tests.support.results import make_result

INTERVAL, TIMEOUT = 30.0, 10.0
UP = make_result(status=200)
DOWN = make_result(status=503, reason=Reason.SERVER_ERROR)
NO_TOKEN = make_result(reason=Reason.NO_TOKEN)
INTERNAL = make_result(reason=Reason.INTERNAL)
REJECTED = make_result(Endpoint.TOKEN, status=401, reason=Reason.UNAUTHORIZED, attempts_left=2)


def probed(*probes: tuple[float, float, Result], times: ObservedTime | None = None) -> ObservedTime:
    """Return the times after probes, each with its start, its end and its Result."""
    times = times or ObservedTime(INTERVAL, TIMEOUT)
    for start, end, result in probes:
        times.run_started(start)
        times.probe_started(start)
        times.probe_ended(result, end)
    return times


def test_nothing_is_observed_before_the_first_result() -> None:
    """A probe in flight is not observed either."""
    times = ObservedTime(INTERVAL, TIMEOUT)
    times.run_started(5.0)
    times.probe_started(5.0)
    assert times.totals(9.0) == (0.0, 0.0)


def test_a_probe_and_the_time_after_it_have_its_state() -> None:
    """The duration of a failed probe is down time, although the endpoint was up before it."""
    times = probed((0.0, 1.0, UP), (30.0, 34.0, DOWN), (60.0, 61.0, UP))
    assert times.totals(70.0) == (70.0, 30.0)


def test_both_sums_stand_still_during_a_probe() -> None:
    """A scrape during the probe reads the sums of its start."""
    times = probed((0.0, 1.0, UP))
    times.probe_started(30.0)
    assert times.totals(30.0) == times.totals(39.0) == (30.0, 0.0)


def test_a_probe_adds_at_most_its_timeout() -> None:
    """A process that was stopped during a probe observed nothing in that time."""
    assert probed((0.0, 1.0, UP), (30.0, 500.0, DOWN)).totals(500.0) == (30.0 + TIMEOUT, TIMEOUT)


@pytest.mark.parametrize("result, down", [(UP, 0.0), (DOWN, INTERVAL + GRACE)])
def test_nothing_is_observed_while_a_run_is_overdue(result: Result, down: float) -> None:
    """The gap does not count after the next run either."""
    times = probed((0.0, 0.0, result))
    assert times.totals(10_000.0) == (INTERVAL + GRACE, down)
    times.run_started(10_000.0)
    assert times.totals(10_000.0) == (INTERVAL + GRACE, down)
    assert times.totals(10_001.0)[0] == INTERVAL + GRACE + 1


def test_runs_that_wait_keep_the_state_observed() -> None:
    """A backoff of pings does not end the outage."""
    times = probed((0.0, 0.0, DOWN))
    for start in (30.0, 60.0, 90.0):
        times.run_started(start)
    assert times.totals(100.0) == (100.0, 100.0)


def test_an_internal_failure_leaves_the_state_unknown_until_the_next_result() -> None:
    """Neither its own duration nor the time after it counts."""
    times = probed((0.0, 0.0, DOWN), (30.0, 31.0, INTERNAL))
    assert times.totals(60.0) == (30.0, 30.0)
    assert probed((60.0, 61.0, UP), times=times).totals(62.0) == (32.0, 30.0)


def test_a_ping_without_a_token_is_down_time() -> None:
    """It has no duration, because no request was sent."""
    times = ObservedTime(INTERVAL, TIMEOUT)
    times.run_started(0.0)
    times.probe_ended(NO_TOKEN, 0.0)
    assert times.totals(20.0) == (20.0, 20.0)


def test_suppressed_logins_with_rejected_credentials_are_not_observed() -> None:
    """The rejected login itself counts; the silence after it does not."""
    assert probed((0.0, 2.0, REJECTED)).totals(300.0) == (2.0, 2.0)
    times = probed((0.0, 1.0, UP), (30.0, 32.0, REJECTED))
    assert times.totals(60.0) == (32.0, 2.0)


@pytest.mark.parametrize("role", [Role.RETRIED, Role.UNAUTHENTICATED])
def test_an_exchange_that_is_not_decisive_changes_no_state(role: Role) -> None:
    """The state of the last decisive probe goes on."""
    times = probed((0.0, 0.0, UP))
    if role is Role.RETRIED:
        times.probe_started(10.0)
    times.probe_ended(DOWN.with_role(role), 11.0)
    assert times.totals(20.0) == (20.0, 0.0)


def test_a_changed_host_is_unknown_until_its_first_result() -> None:
    """The state of the old host says nothing about the new one."""
    times = probed((0.0, 0.0, DOWN))
    times.totals(10.0)
    times.forget_state()
    assert times.totals(20.0) == (10.0, 10.0)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["run", "probe", "up", "down", "internal", "rejected", "retried", "scrape", "forget"]),
        st.floats(0.0, 100.0),
    ),
    max_size=40,
)


@given(EVENTS)
def test_the_sums_never_decrease_and_never_exceed_the_elapsed_time(events: list[tuple[str, float]]) -> None:
    """The order of the events does not matter."""
    times, now, before = ObservedTime(INTERVAL, TIMEOUT), 0.0, (0.0, 0.0)
    results = {
        "up": UP,
        "down": DOWN,
        "internal": INTERNAL,
        "rejected": REJECTED,
        "retried": DOWN.with_role(Role.RETRIED),
    }
    for event, seconds in events:
        now += seconds
        if event == "run":
            times.run_started(now)
        elif event == "probe":
            times.probe_started(now)
        elif event == "forget":
            times.forget_state()
        elif event in results:
            times.probe_ended(results[event], now)
        observed, down = times.totals(now)
        assert before[0] <= observed <= now + 1e-6
        assert before[1] <= down <= observed + 1e-6
        before = observed, down
