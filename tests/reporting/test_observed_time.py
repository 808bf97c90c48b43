"""Observed and down time: known states advance the sums, unknown states do not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow
from monitor.model import Endpoint, Reason, Result, Role
from monitor.reporting.maintenance import PlannedTime
from monitor.reporting.observed_time import GRACE, ObservedTime
from tests.support.results import make_result

pytestmark = pytest.mark.once

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


def planned(*windows: tuple[float, float]) -> Callable[[float, float], float]:
    """Return a function for the seconds of these windows between two times, all on one clock."""
    made = tuple(MaintenanceWindow(begin, end) for begin, end in windows)
    return PlannedTime(made, Clock(now=lambda: 0.0, wall=lambda: 0.0)).seconds_between


@pytest.mark.parametrize("result, down", [(UP, 0.0), (DOWN, 20.0)])
@pytest.mark.parametrize("scrapes", [[], [9.0, 10.0, 11.0, 13.0, 19.9, 20.0, 20.1]])
def test_both_sums_stand_still_in_maintenance(result: Result, down: float, scrapes: list[float]) -> None:
    """They stop at its begin and continue at its end, at any times of the scrapes."""
    times = ObservedTime(INTERVAL, TIMEOUT)
    times.plan(planned((10.0, 20.0)), 0.0)
    probed((0.0, 0.0, result), times=times)
    for scrape in scrapes:
        assert times.totals(scrape)[0] == pytest.approx(min(scrape, 10.0) + max(0.0, scrape - 20.0))
    assert times.totals(30.0) == pytest.approx((20.0, down))


def test_an_outage_that_outlasts_the_maintenance_is_down_time_from_its_end_on() -> None:
    """The state goes on: the first probe after the window need not end before."""
    times = ObservedTime(INTERVAL, TIMEOUT)
    times.plan(planned((25.0, 55.0)), 0.0)
    probed((0.0, 0.0, UP), (30.0, 30.0, DOWN), times=times)
    assert times.totals(55.0) == (25.0, 0.0)
    assert times.totals(60.0) == (30.0, 5.0)


@pytest.mark.parametrize(
    "window, seconds", [((0.0, 5.0), 3.0), ((3.0, 100.0), 3.0), ((4.0, 6.0), 6.0), ((0.0, 100.0), 0.0)]
)
def test_only_the_part_of_a_probe_outside_the_maintenance_counts(window: tuple[float, float], seconds: float) -> None:
    """A probe may begin before the window and end after it."""
    times = ObservedTime(INTERVAL, TIMEOUT)
    times.plan(planned(window), 0.0)
    times.probe_started(0.0)
    times.probe_ended(DOWN, 8.0)
    assert times.totals(8.0) == (seconds, seconds)


def test_a_probe_longer_than_its_timeout_counts_from_its_start() -> None:
    """Of its first ten seconds, five are in the window; the process was stopped in the others."""
    times = ObservedTime(INTERVAL, TIMEOUT)
    times.plan(planned((0.0, 5.0)), 0.0)
    times.probe_started(0.0)
    times.probe_ended(DOWN, 500.0)
    assert times.totals(500.0) == (5.0, 5.0)


def test_a_changed_plan_leaves_earlier_sums_as_they_are() -> None:
    """A reload during the window ends or begins it at that moment."""
    times = probed((0.0, 0.0, UP))
    times.plan(planned((5.0, 100.0)), 10.0)
    assert times.totals(20.0) == (10.0, 0.0)
    times.plan(planned(), 20.0)
    assert times.totals(30.0) == (20.0, 0.0)


END = 2000.0  # seconds: the end of every course
COURSE = st.lists(
    st.tuples(st.floats(0.0, 80.0), st.floats(0.0, 15.0), st.sampled_from([UP, DOWN, INTERNAL, NO_TOKEN])), max_size=20
)
MOMENTS = st.lists(st.floats(0.0, END), max_size=30)


@given(COURSE, st.sets(st.floats(0.0, END), max_size=8), MOMENTS, MOMENTS)
def test_windows_split_the_sums_whatever_the_times_of_the_scrapes_are(
    course: list[tuple[float, float, Result]], borders: set[float], scrapes: list[float], others: list[float]
) -> None:
    """With the windows, and with the gaps between them as windows, the sums add up to those without maintenance."""
    limits = [0.0, *sorted(borders), END]
    pieces = list(itertools.pairwise(limits))
    whole = played(course, scrapes)
    inside, outside = played(course, others, *pieces[::2]), played(course, scrapes, *pieces[1::2])
    assert (inside[0] + outside[0], inside[1] + outside[1]) == pytest.approx(whole, abs=1e-6)
    assert played(course, others, *pieces) == pytest.approx((0.0, 0.0), abs=1e-6)


def played(
    course: list[tuple[float, float, Result]], scrapes: list[float], *windows: tuple[float, float]
) -> tuple[float, float]:
    """Return the sums after probes, each with its pause before it, its duration and its Result."""
    times, now = ObservedTime(INTERVAL, TIMEOUT), 0.0
    times.plan(planned(*windows), 0.0)
    waiting = sorted(scrapes)
    for pause, duration, result in course:
        for moment, step in ((now + pause, "start"), (now + pause + duration, "end")):
            while waiting and waiting[0] <= moment:
                times.totals(waiting.pop(0))
            if step == "start":
                times.run_started(moment)
                times.probe_started(moment)
            else:
                times.probe_ended(result, moment)
            now = moment
    for moment in waiting:
        times.totals(moment)
    return times.totals(END)
