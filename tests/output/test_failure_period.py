"""Repeated failures cause one line at their start and one at their end."""

from __future__ import annotations

import pytest

from monitor.output.failure_period import FailurePeriod

pytestmark = pytest.mark.once


class MovableTime:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def time() -> MovableTime:
    """Return the clock of the period."""
    return MovableTime()


@pytest.fixture
def period(time: MovableTime) -> FailurePeriod:
    """Return a period that ends after 60 s without a failure."""
    return FailurePeriod(60.0, lambda: time.now)


def test_only_the_first_failure_of_a_period_is_logged(period: FailurePeriod, time: MovableTime) -> None:
    """The end has the number of failures, and then a new period can begin."""
    for _ in range(2):
        assert period.succeeded() == 0
        assert [period.failed() for _ in range(5)] == [True, False, False, False, False]
        time.now += 60
        assert period.succeeded() == 5


def test_each_fault_is_logged_once_per_period(period: FailurePeriod) -> None:
    """Faults that alternate are not logged again."""
    assert [period.failed(fault) for fault in ("a", "a", "b", "a", "b")] == [True, False, True, False, False]


def test_a_success_between_failures_does_not_end_the_period(period: FailurePeriod, time: MovableTime) -> None:
    """An operation that fails now and then is logged once."""
    assert period.failed()
    for _ in range(10):
        time.now += 59
        assert period.succeeded() == 0
        assert not period.failed()
    time.now += 60
    assert period.succeeded() == 11
