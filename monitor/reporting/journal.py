"""Journal of incidents, and of observed and down time: the view in memory.

Results change the view at once. A thread of its own (`journal_writer.py`) loads the view at the start and saves its
changes; neither probes nor readers wait for it. Until it has loaded, Results are queued.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from monitor.clock import Clock
from monitor.hosts import origin_of
from monitor.model import Endpoint, Reason, Responsibility, Result
from monitor.reporting.incident import Incident
from monitor.reporting.incidents import Change, EndpointIncidents
from monitor.reporting.journal_content import LoadedJournal
from monitor.reporting.overview import Availability, Uptime
from monitor.reporting.records import end_of
from monitor.reporting.unsaved import Unsaved
from monitor.reporting.uptime_sums import UptimeSums, spread
from monitor.tigr.responsibility import responsible

MAX_CACHED = 150  # incidents that ended; about 3 kB each
MAX_EARLY_RESULTS = 10_000  # Results that wait for the journal to be loaded
_MAX_UNUSED_SUMS = 32  # endpoints without an environment whose sums are kept

Host = tuple[str, Endpoint]


class TimeSource(Protocol):
    """Observed and down time since the start of the process; `monitor.reporting.metrics` documents the members."""

    def observed_totals(self) -> Mapping[Host, tuple[float, float]]: ...
    def observed_of(self, environment: str, endpoint: Endpoint) -> tuple[float, float]: ...
    def incident_opened(self, environment: str, endpoint: Endpoint, reason: Reason) -> None: ...


class Journal:
    """The incidents and the observed time of all endpoints. Thread-safe."""

    def __init__(self, times: TimeSource, clock: Clock, *, is_loaded: bool) -> None:
        """Create an empty journal; unless it `is_loaded`, it waits for `load` or for `begin_without_file`."""
        self._times = times
        self._clock = clock
        self._mutex = threading.Lock()
        self._is_loaded = is_loaded
        self._early: deque[tuple[Result, float]] = deque(maxlen=MAX_EARLY_RESULTS)
        self._last_number = 0
        self._hosts: dict[Host, EndpointIncidents] = {}
        self._incidents: dict[int, Incident] = {}  # the open ones, and the most recent others
        self._sums: dict[Host, UptimeSums] = {}
        self._settled: dict[Host, tuple[float, float, float]] = {}  # totals that are part of the sums, and their time
        self._unsaved = Unsaved()
        self.on_change: Callable[[], None] = lambda: None  # called after an incident has opened, reopened or ended

    # Changes.

    def use(self, environment: str, urls: Mapping[Endpoint, str]) -> None:
        """Add an environment, or replace the URLs of its requests.

        The open incident of an endpoint that moves to another host ends, and its end is not observed.
        """
        with self._mutex:
            for endpoint in Endpoint:
                host, url = (environment, endpoint), urls[endpoint]
                incidents = self._hosts.get(host)
                if incidents is None:
                    self._hosts[host] = EndpointIncidents(*host, self._next_number, url)
                    self._sums.setdefault(host, UptimeSums())
                    self._settled[host] = 0.0, 0.0, self._clock.wall()
                else:
                    if origin_of(url) != origin_of(incidents.url):
                        self._end_unobserved(host)
                    incidents.url = url
        self.on_change()

    def remove(self, environment: str) -> None:
        """End the open incidents of a removed environment: their end will not be observed."""
        with self._mutex:
            for endpoint in Endpoint:
                host = environment, endpoint
                self._end_unobserved(host)
                self._hosts.pop(host, None)
                self._settled.pop(host, None)
            unused = [host for host in self._sums if host not in self._hosts]
            for host in unused[:-_MAX_UNUSED_SUMS]:
                del self._sums[host]
        self.on_change()

    def record(self, result: Result) -> None:
        """Apply a Result, after the metrics have added its time."""
        if not result.is_decisive:
            return
        observed, down = self._times.observed_of(result.environment, result.endpoint)
        with self._mutex:
            self._settle((result.environment, result.endpoint), observed, down)
            if not self._is_loaded:
                self._early.append((replace(result, token=None), down))
                return
            is_urgent = self._apply(result, down)
        if is_urgent:
            self.on_change()

    def settle(self) -> None:
        """Add the observed time since the last call to the hours in which it was."""
        totals = self._times.observed_totals()
        with self._mutex:
            for host, seconds in totals.items():
                self._settle(host, *seconds)

    # Loading and saving, by the thread of the database.

    def load(self, content: LoadedJournal) -> None:
        """Add what an earlier process saved, then apply the Results that came before."""
        with self._mutex:
            self._last_number = max(self._last_number, content.last_number)
            for host, hour, observed, down in content.hours:
                self._sums.setdefault(host, UptimeSums()).set_hour(hour, observed, down)
            for host, day, observed, down in content.days:
                self._sums.setdefault(host, UptimeSums()).add_to_day(day, observed, down)
            for incident in sorted(content.incidents, key=lambda each: each.number):
                self._incidents[incident.number] = incident
                self._restore(incident)
            self._begin()
        self.on_change()

    def begin_without_file(self, last_number: int) -> None:
        """Apply the Results that came before, because nothing can be loaded now. Numbers begin after `last_number`."""
        with self._mutex:
            if not self._is_loaded:
                self._last_number = last_number
                self._begin()

    @property
    def is_loaded(self) -> bool:
        """Whether incidents are decided."""
        return self._is_loaded

    def take_unsaved(self) -> Unsaved:
        """Return the changes that are not on disk. The caller saves them, or puts them back."""
        with self._mutex:
            unsaved, self._unsaved = self._unsaved, Unsaved()
            return unsaved

    def put_back(self, unsaved: Unsaved) -> None:
        """Keep changes that could not be saved, the newest ones if they are too many."""
        with self._mutex:
            self._unsaved.add_older(unsaved)

    def save_all_again(self) -> None:
        """Mark all incidents in memory as not saved, because the database was set aside."""
        with self._mutex:
            self._unsaved.incidents.update(self._incidents)

    # Readers.

    def recent(self, count: int) -> list[Incident]:
        """Return the most recent incidents of those in memory, newest first."""
        with self._mutex:
            incidents = list(self._incidents.values())
        return newest_first(incidents)[:count]

    def open_incident(self, environment: str, endpoint: Endpoint) -> Incident | None:
        """Return the open incident of an endpoint; None if there is none."""
        with self._mutex:
            incidents = self._hosts.get((environment, endpoint))
            return None if incidents is None else incidents.open_incident

    def cached(self, since: float | None = None, environment: str | None = None) -> list[Incident]:
        """Return the incidents in memory that had not ended at `since`, newest first."""
        return [
            each
            for each in self.recent(len(self._incidents))
            if (environment is None or each.environment == environment)
            and (since is None or each.end is None or each.end > since)
        ]

    def incident(self, number: int) -> Incident | None:
        """Return an incident in memory; None if it is not there."""
        return self._incidents.get(number)

    def uptimes(self, environment: str, endpoint: Endpoint) -> tuple[Uptime, ...]:
        """Return observed and down time of the last 24 hours, 30 days and 365 days."""
        with self._mutex:
            sums = self._sums.get((environment, endpoint)) or UptimeSums()
            return sums.uptimes(self._clock.wall())

    def availability(self, begin: float, end: float) -> list[Availability]:
        """Return observed and down time between two times (Unix seconds) from memory, to whole days."""
        with self._mutex:
            hosts = sorted(self._sums)
            times = [self._sums[host].between(begin, end) for host in hosts]
        return [
            Availability(*host, Uptime(end - begin, *seconds))
            for host, seconds in zip(hosts, times, strict=True)
            if seconds[0] > 0
        ]

    # The caller of the following methods holds the mutex.

    def _apply(self, result: Result, down: float) -> bool:
        """Apply a Result; return whether an incident has opened, reopened or ended."""
        incidents = self._hosts.get((result.environment, result.endpoint))
        if incidents is None:
            return False
        party = Responsibility.UNKNOWN if result.success else responsible(result)
        change = incidents.record(result, party, down)
        if change is Change.NONE or incidents.incident is None:
            return False
        self._keep(incidents.incident)
        if change is Change.OPENED:
            reason = incidents.incident.reasons[0][0]
            self._times.incident_opened(result.environment, result.endpoint, reason)
        return change is not Change.CONTINUED

    def _restore(self, incident: Incident) -> None:
        """Continue with an incident that an earlier process saved."""
        incidents = self._hosts.get((incident.environment, incident.endpoint))
        if incidents is None or self._is_loaded:  # its environment was removed, or this process went on without it
            if incident.is_open:
                self._keep(self._unobserved(incident))
            return
        if (earlier := incidents.open_incident) is not None:
            self._keep(self._unobserved(earlier))
        incidents.restore(incident)

    def _unobserved(self, incident: Incident) -> Incident:
        last = end_of(incident.last)
        return replace(incident, end=max(self._clock.wall(), last), last_observed=last)

    def _begin(self) -> None:
        self._is_loaded = True
        early, self._early = self._early, deque()
        for result, down in early:
            self._apply(result, down)
        self._limit_cached()

    def _end_unobserved(self, host: Host) -> None:
        incidents = self._hosts.get(host)
        change = Change.NONE if incidents is None else incidents.end_unobserved(self._clock.wall())
        if change is Change.ENDED and incidents is not None and incidents.incident is not None:
            self._keep(incidents.incident)

    def _keep(self, incident: Incident) -> None:
        self._incidents[incident.number] = incident
        self._unsaved.keep(incident)
        self._limit_cached()

    def _limit_cached(self) -> None:
        excess = len(self._incidents) - MAX_CACHED
        if excess > 0:
            ended = sorted(number for number, incident in self._incidents.items() if not incident.is_open)
            for number in ended[:excess]:
                del self._incidents[number]

    def _settle(self, host: Host, observed: float, down: float) -> None:
        """Add the time since the last call. `observed` and `down` are the totals of this process, in seconds."""
        if host not in self._settled:
            return
        before, down_before, begin = self._settled[host]
        now = self._clock.wall()
        self._settled[host] = observed, down, now
        more, more_down = observed - before, max(0.0, down - down_before)
        if more <= 0:
            return
        for hour, share in spread(begin, now):
            self._sums[host].add(hour, more * share, more_down * share)
            self._unsaved.add((*host, hour), more * share, more_down * share)

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number


def newest_first(incidents: Iterable[Incident]) -> list[Incident]:
    """Return the incidents in the order of their begin, the latest first."""
    return sorted(incidents, key=lambda each: (each.begin, each.number), reverse=True)


def merged(stored: Iterable[Incident], cached: Sequence[Incident]) -> Iterator[Incident]:
    """Yield the incidents of both, newest first as each of them is; those in memory are more recent."""
    known = {each.number for each in cached}
    others = (each for each in stored if each.number not in known)
    return heapq.merge(others, cached, key=lambda each: (-each.begin, -each.number))
