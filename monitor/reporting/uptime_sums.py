"""Observed and down time of one endpoint: the sums of 24 hours, 30 days and 365 days, in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from monitor.reporting.overview import Uptime

HOUR, DAY = 3600, 86400  # seconds
CACHED_HOURS = 24
CACHED_DAYS = 365
MAX_AHEAD = 30  # days after the current one that may be of a wall clock that was a little ahead
PERIODS = (24 * HOUR, 30 * DAY, 365 * DAY)  # seconds
MAX_SPREAD = 2 * HOUR  # seconds; over a longer time between two looks at the totals, nothing is spread


class UptimeSums:
    """The totals per hour and per day. Days are those of UTC; the current hour and day are incomplete.

    A day takes 8 bytes. Only complete days are rounded to single precision. Not thread-safe.
    """

    def __init__(self) -> None:
        self._hours: dict[int, tuple[float, float]] = {}
        self._observed = array("f", bytes(4 * CACHED_DAYS))
        self._down = array("f", bytes(4 * CACHED_DAYS))
        self._day = 0  # the latest day; the arrays end with it
        self._today = (0.0, 0.0)

    def add(self, hour: int, observed: float, down: float) -> None:
        """Add seconds to an hour, counted from 1970."""
        seconds = self._hours.get(hour, (0.0, 0.0))
        self._hours[hour] = (seconds[0] + observed, seconds[1] + down)
        if len(self._hours) > CACHED_HOURS:
            self._hours = {each: self._hours[each] for each in self._hours if abs(hour - each) < CACHED_HOURS}
        day = hour * HOUR // DAY
        if day < self._day - MAX_AHEAD:
            self._return_to(day)
        self.add_to_day(day, observed, down)

    def set_hour(self, hour: int, observed: float, down: float) -> None:
        """Set the seconds of an hour without a change of its day, because both were loaded."""
        seconds = self._hours.get(hour, (0.0, 0.0))
        self._hours[hour] = (seconds[0] + observed, seconds[1] + down)

    def add_to_day(self, day: int, observed: float, down: float) -> None:
        """Add seconds to a day, counted from 1970."""
        if day > self._day:
            self._advance(day)
        if day == self._day:
            self._today = (self._today[0] + observed, self._today[1] + down)
        elif self._day - day < CACHED_DAYS:
            self._observed[day % CACHED_DAYS] += observed
            self._down[day % CACHED_DAYS] += down

    def between(self, begin: float, end: float) -> tuple[float, float]:
        """Return observed and down seconds between two times (Unix seconds), to whole days."""
        first = max(int(begin // DAY), self._day - CACHED_DAYS + 1)
        last = min(int(-(-end // DAY)), self._day + 1)  # the first day that is left out
        if last <= first:
            return 0.0, 0.0
        observed, down = self._today if last > self._day else (0.0, 0.0)
        complete = min(last, self._day) - first
        return observed + _sum(self._observed, first, complete), down + _sum(self._down, first, complete)

    def uptimes(self, now: float) -> tuple[Uptime, ...]:
        """Return the sums of the periods that end at `now`, in Unix seconds. They contain no incomplete first hour."""
        hour = int(now // HOUR)
        recent = [seconds for each, seconds in self._hours.items() if hour - CACHED_HOURS < each <= hour]
        day = Uptime(PERIODS[0], sum(each[0] for each in recent), sum(each[1] for each in recent))
        return (day, *(Uptime(period, *self._of_days(now, period)) for period in PERIODS[1:]))

    def _of_days(self, now: float, period: float) -> tuple[float, float]:
        today = int(now // DAY)
        return self.between((today - period // DAY + 1) * DAY, now + 1)

    def _advance(self, day: int) -> None:
        """Begin another day. The slots of the days between were those of a year ago."""
        slot = self._day % CACHED_DAYS
        self._observed[slot], self._down[slot] = self._today
        for skipped in range(max(self._day + 1, day - CACHED_DAYS + 1), day + 1):
            self._observed[skipped % CACHED_DAYS] = self._down[skipped % CACHED_DAYS] = 0.0
        self._day, self._today = day, (0.0, 0.0)

    def _return_to(self, day: int) -> None:
        """Discard the days after `day`: they were those of a wall clock that was far ahead."""
        for wrong in range(max(day + 1, self._day - CACHED_DAYS + 1), self._day + 1):
            self._observed[wrong % CACHED_DAYS] = self._down[wrong % CACHED_DAYS] = 0.0
        slot = day % CACHED_DAYS
        self._day, self._today = day, (self._observed[slot], self._down[slot])
        self._observed[slot] = self._down[slot] = 0.0


def _sum(seconds: array[float], first: int, count: int) -> float:
    """Return the sum of `count` days from the `first` one on, which may wrap around the end of the array."""
    begin = first % CACHED_DAYS
    return sum(seconds[begin : begin + count]) + sum(seconds[: max(0, begin + count - CACHED_DAYS)])


def spread(begin: float, end: float) -> Iterator[tuple[int, float]]:
    """Yield the hours between two times (Unix seconds), each with its share of the time between them."""
    if not 0 < end - begin <= MAX_SPREAD:
        yield int(end // HOUR), 1.0
        return
    for hour in range(int(begin // HOUR), int(end // HOUR) + 1):
        share = min(end, (hour + 1) * HOUR) - max(begin, hour * HOUR)
        if share > 0:
            yield hour, share / (end - begin)
