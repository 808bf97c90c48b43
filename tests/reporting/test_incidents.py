"""Incidents: the Results that open, continue, end and reopen one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Endpoint, Reason, Responsibility, Result, Role
from monitor.reporting.incident import Incident
from monitor.reporting.incidents import MAX_LISTED, REOPENING_TIME, Change, EndpointIncidents
from tests.support.results import make_result, vary

pytestmark = pytest.mark.once

SYMBOLS = {
    "+": None,
    "s": Reason.SERVER_ERROR,
    "t": Reason.TIMEOUT,
    "u": Reason.UNAUTHORIZED,
    "i": Reason.INTERNAL,
    "n": Reason.NO_TOKEN,
}
INTERVAL = 15.0  # seconds between two probes
DURATION = 0.5  # seconds of a probe


class Course:
    """A course of Results of one endpoint, each as a symbol; `R` is a rejection, `.` a pause without a probe.

    Down time is the time from the start of a failed probe to the end of the next success.
    """

    def __init__(
        self, endpoint: Endpoint = Endpoint.PING, now: float = 1000.0, restored: Incident | None = None
    ) -> None:
        numbers = itertools.count(1 if restored is None else restored.number + 1)
        self.incidents = EndpointIncidents("prod", endpoint, lambda: next(numbers), "https://api.example/ping")
        if restored is not None:
            self.incidents.restore(restored)
        self.endpoint = endpoint
        self.now = now
        self.down = 0.0
        self.is_down = False
        self.opened: list[Incident] = []
        self.ended: list[Incident] = []

    def run(self, symbols: str) -> list[Change]:
        """Apply the Results of these symbols; return the changes."""
        return [self._apply(symbol) for symbol in symbols if not self._pause(symbol)]

    @property
    def incident(self) -> Incident:
        """The open incident, or the one that ended last."""
        assert self.incidents.incident is not None
        return self.incidents.incident

    def _pause(self, symbol: str) -> bool:
        if symbol == ".":
            self.now += REOPENING_TIME
            self.down += REOPENING_TIME if self.is_down else 0.0
        return symbol == "."

    def _apply(self, symbol: str) -> Change:
        result = vary(result_of(self.endpoint, symbol), started_at=self.now, duration=DURATION)
        is_failure = not result.success and symbol != "i"
        self.down += DURATION if is_failure else 0.0
        change = self.incidents.record(result, Responsibility.UNKNOWN, self.down)
        if change is Change.OPENED:
            self.opened.append(self.incident)
        if change is Change.ENDED:
            self.ended.append(self.incident)
        if symbol != "i":
            self.is_down = is_failure
        self.now += INTERVAL
        self.down += INTERVAL - DURATION if self.is_down else 0.0
        return change


def result_of(endpoint: Endpoint, symbol: str) -> Result:
    """Return the Result of a symbol."""
    if symbol == "R":
        return make_result(endpoint, reason=Reason.UNAUTHORIZED, credentials_rejected=True)
    return make_result(endpoint, reason=SYMBOLS[symbol])


def opened(endpoint: Endpoint, symbols: str) -> str:
    """Return the first reasons of the incidents that a course opens, as symbols."""
    course = Course(endpoint)
    course.run(symbols)
    names = {reason: symbol for symbol, reason in SYMBOLS.items()}
    return "".join(names[incident.reasons[0][0]] for incident in course.opened)


@pytest.mark.parametrize(
    "symbols, reasons",
    [
        ("ss", ""),
        ("sss", "s"),
        ("tss", "t"),  # the first reason
        ("ssssssss", "s"),
        ("ss+ss+ss", ""),
        ("ss+sts+.ttt", "st"),
        ("sisis", "s"),  # internal failures change nothing
        ("iiii", ""),
        ("sss+i+.sss", "ss"),
        ("ssinn", ""),
        ("nnnnnn", ""),  # the incident of the login
        ("nns", ""),
        ("nnsns", ""),
        ("nnsnss", "s"),
        ("sssnnn+.nsss", "ss"),
        ("sss+sss", "s"),  # within ten minutes: a further episode
    ],
)
def test_three_failed_pings_in_a_row_open_an_incident(symbols: str, reasons: str) -> None:
    """Its reason is that of the first; it ends with a success."""
    assert opened(Endpoint.PING, symbols) == reasons


@pytest.mark.parametrize(
    "symbols, reasons",
    [
        ("s", ""),
        ("ss", "s"),
        ("ts", "t"),
        ("s+s", ""),
        ("sis", "s"),
        ("R", "u"),
        ("RRR", "u"),
        ("R+.R", "uu"),
        ("R+R", "u"),
        ("tR", "t"),
        ("RtttR", "u"),
        ("u+u", ""),  # 401 without a rejection, because other field names are left
    ],
)
def test_two_failed_logins_or_a_rejection_open_an_incident(symbols: str, reasons: str) -> None:
    """A rejection opens it at once."""
    assert opened(Endpoint.TOKEN, symbols) == reasons


@pytest.mark.parametrize("role", [Role.RETRIED, Role.UNAUTHENTICATED])
def test_an_exchange_that_is_not_decisive_opens_and_ends_no_incident(role: Role) -> None:
    """Another exchange of the run decides."""
    incidents = EndpointIncidents("prod", Endpoint.PING, lambda: 1)

    def changes(*results: Result) -> list[Change]:
        return [incidents.record(each, Responsibility.API, 0.0) for each in results]

    failure, success = result_of(Endpoint.PING, "s"), result_of(Endpoint.PING, "+")
    assert set(changes(*[failure.with_role(role)] * 5)) == {Change.NONE}
    assert changes(failure, success.with_role(role), failure, failure)[-1] is Change.OPENED
    assert changes(success.with_role(role)) == [Change.NONE]


def test_an_incident_lasts_from_its_first_failure_to_the_end_of_the_first_success() -> None:
    """The reasons are counted in the order of their first occurrence."""
    course = Course()
    course.run("+sts+")
    incident = course.incident
    assert (incident.begin, incident.end) == (1000.0 + INTERVAL, 1000.0 + 4 * INTERVAL + DURATION)
    assert incident.reasons == ((Reason.SERVER_ERROR, 2), (Reason.TIMEOUT, 1))
    assert (incident.first.reason, incident.last.reason) == (Reason.SERVER_ERROR, Reason.SERVER_ERROR)
    assert incident.first.started_at < incident.last.started_at
    assert incident.down == pytest.approx(3 * INTERVAL)
    assert (incident.episodes, incident.last_observed, incident.url) == (1, None, "https://api.example/ping")


def test_a_further_episode_leaves_the_time_between_out() -> None:
    """The incident keeps its number and its begin."""
    course = Course()
    changes = course.run("sss+" + "+" * 30 + "sss+")
    assert [change for change in changes if change is not Change.NONE and change is not Change.CONTINUED] == [
        Change.OPENED,
        Change.ENDED,
        Change.REOPENED,
        Change.ENDED,
    ]
    incident = course.incident
    assert (incident.number, incident.begin, incident.episodes) == (1, 1000.0, 2)
    assert incident.down == pytest.approx(2 * 3 * INTERVAL)
    assert dict(incident.reasons) == {Reason.SERVER_ERROR: 6}


def test_failures_after_ten_minutes_are_another_incident() -> None:
    """The begin of the new failures counts, not their confirmation."""
    course = Course()
    course.run("sss+")
    course.now = (course.incident.end or 0.0) + REOPENING_TIME + 0.001
    course.run("sss")
    assert course.incident.number == 2
    course = Course()
    course.run("sss+")
    course.now = (course.incident.end or 0.0) + REOPENING_TIME
    course.run("sss")
    assert course.incident.number == 1


def test_a_failure_after_a_restart_continues_the_open_incident() -> None:
    """It is not opened again, and the time of the restart is not part of the down time."""
    before = Course()
    before.run("sss")
    down = before.incident.down
    after = Course(now=before.now + 3600, restored=before.incident)
    assert after.run("iis+") == [Change.NONE, Change.NONE, Change.CONTINUED, Change.ENDED]
    assert (after.incident.number, after.incident.begin) == (1, 1000.0)
    assert after.incident.down == pytest.approx(down + INTERVAL)
    assert after.incident.last_observed is None


def test_a_success_after_a_restart_leaves_the_end_unobserved() -> None:
    """The end is between the last failure of the earlier process and the success."""
    before = Course()
    before.run("sss")
    down, last = before.incident.down, before.incident.last
    after = Course(now=before.now + 3600, restored=before.incident)
    assert after.run("+") == [Change.ENDED]
    assert after.incident.last_observed == last.started_at + DURATION
    assert after.incident.end == before.now + 3600 + DURATION
    assert after.incident.down == down


def test_an_endpoint_that_is_removed_ends_its_incident_unobserved() -> None:
    """A row that has not opened an incident is discarded."""
    course = Course()
    assert course.incidents.end_unobserved(1.0) is Change.NONE
    course.run("sss")
    assert course.incidents.end_unobserved(course.now) is Change.ENDED
    assert (course.incident.end, course.incident.last_observed) == (
        course.now,
        course.incident.last.started_at + DURATION,
    )
    assert course.incidents.end_unobserved(course.now) is Change.NONE


def test_an_incident_keeps_the_first_and_the_last_submission_ids() -> None:
    """Those of the failures that opened it are among them."""
    incidents = EndpointIncidents("prod", Endpoint.PING, lambda: 1)
    for number in range(50):
        result = make_result(reason=Reason.SERVER_ERROR, submission_id=str(number), started_at=float(number))
        incidents.record(result, Responsibility.API, float(number))
    assert incidents.incident is not None
    ids = incidents.incident.submission_ids
    assert ids == tuple(map(str, [*range(10), *range(40, 50)]))
    assert len(ids) == MAX_LISTED


def test_decisions_of_the_monitor_are_listed() -> None:
    """Each with the time of the failure that it followed."""
    incidents = EndpointIncidents("prod", Endpoint.TOKEN, lambda: 1)
    failure = make_result(Endpoint.TOKEN, reason=Reason.UNAUTHORIZED, started_at=0.0, duration=1.0)
    rejected = vary(failure, credentials_rejected=True)
    for result in (
        vary(failure, reason=Reason.DNS, suppressed_until=60.0),
        vary(rejected, suppressed_until=1200.0, attempts_left=2),
        vary(rejected, suppressed_until=1200.0, attempts_left=1),
        vary(rejected, suppressed_until=float("inf"), attempts_left=0),
    ):
        incidents.record(result, Responsibility.CREDENTIALS, 0.0)
    assert incidents.incident is not None
    backoff, paused, again, stopped = incidents.incident.decisions
    assert backoff == "1970-01-01T00:00:01.000Z: backoff: no login before 1970-01-01T00:01:00.000Z"
    assert "logins suppressed until 1970-01-01T00:20:00.000Z, 2 more requests" in paused
    assert "1 more request with" in again
    assert "logins stopped" in stopped


@given(st.sampled_from(Endpoint), st.text(alphabet="+stuinR.", max_size=80), st.integers(0, 80))
def test_incidents_of_an_endpoint_do_not_overlap(endpoint: Endpoint, symbols: str, restart: int) -> None:
    """Down time is at most the time of the incident; a restart at any time changes neither number nor order."""
    course = Course(endpoint)
    course.run(symbols[:restart])
    known = course.incidents.incident
    after = Course(endpoint, course.now, known)
    after.run(symbols[restart:])
    incidents = {each.number: each for each in (*course.opened, *course.ended, *after.opened, *after.ended)}
    if after.incidents.incident is not None:
        incidents[after.incident.number] = after.incident
    ordered = [incidents[number] for number in sorted(incidents)]
    for earlier, later in itertools.pairwise(ordered):
        assert earlier.end is not None
        assert earlier.end <= later.begin
    for incident in ordered:
        end = after.now if incident.end is None else incident.end
        assert 0 <= incident.down <= end - incident.begin + 1e-6
        assert incident.begin <= incident.last.started_at <= end
        assert not {reason for reason, _ in incident.reasons} & {Reason.INTERNAL, Reason.NO_TOKEN}


@given(st.sampled_from(Endpoint), st.text(alphabet="+stuR", max_size=40), st.integers(0, 40))
def test_ignored_results_change_no_incident(endpoint: Endpoint, symbols: str, position: int) -> None:
    """Internal failures and pings without a token could be left out of every course."""
    with_ignored, without = Course(endpoint), Course(endpoint)
    with_ignored.run(symbols[:position] + "in" + symbols[position:])
    without.run(symbols)
    numbers = [[each.reasons for each in course.opened] for course in (with_ignored, without)]
    assert numbers[0] == numbers[1]


def test_an_incident_after_a_wall_clock_that_was_far_ahead_is_another_one() -> None:
    """Else every failure would belong to the incident with the wrong time until the clock has caught up."""
    course = Course()
    course.run("sss+")
    earlier = course.incident
    course.now -= 365 * 86400
    course.run("sss")
    assert course.incident.number == earlier.number + 1
    assert course.incident.episodes == 1
    assert earlier.end is not None
    assert course.incident.begin < earlier.end - 364 * 86400
    course.run("+")
    course.now += 601
    course.run("sss")
    assert course.incident.number == earlier.number + 2


def test_a_wall_clock_that_is_stepped_back_a_little_makes_a_further_episode() -> None:
    """Its end is not before its begin."""
    course = Course()
    course.run("sss+")
    end = course.incident.end
    course.now -= 300
    course.run("sss")
    assert course.incident.episodes == 2
    course.run("+")
    assert course.incident.end is not None
    assert end is not None
    assert course.incident.end >= course.incident.begin
    assert replace(course.incident, end=None).is_open
