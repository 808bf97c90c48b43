"""The view of the journal in memory: incidents, their numbers and times, and the observed time per period."""

from __future__ import annotations

import gc
import math
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Endpoint, Reason, Responsibility, Token
from monitor.reporting.incident import Incident
from monitor.reporting.journal import MAX_CACHED, MAX_EARLY_RESULTS, Journal, merged
from monitor.reporting.journal_content import LoadedJournal
from monitor.reporting.unsaved import MAX_UNSAVED, MAX_UNSAVED_TOTALS, Unsaved
from monitor.reporting.uptime_sums import DAY, HOUR, UptimeSums, spread
from tests.support.journals import INTERVAL, START, URLS, JournalTime, journal_of, run
from tests.support.results import make_result

pytestmark = pytest.mark.once

EMPTY = LoadedJournal(0, (), (), ())


def only(journal: Journal) -> Incident:
    """Return the only incident."""
    (incident,) = journal.recent(10)
    return incident


def test_an_incident_is_counted_when_it_opens() -> None:
    """Once, by the reason of its first failure; a further episode is not counted."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "+ss")
    assert time.opened == []
    run(journal, time, "ss+sss+")
    assert time.opened == [("prod", Endpoint.PING, Reason.SERVER_ERROR)]
    incident = only(journal)
    assert (incident.number, incident.episodes, incident.responsibility) == (1, 2, Responsibility.API)


def test_down_time_is_that_of_the_metrics() -> None:
    """Both use the same accumulator, so unobserved time counts neither way."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "+++sss")
    time.elapsed += 5 * HOUR  # suspended
    run(journal, time, "s+")
    incident = only(journal)
    assert incident.down == pytest.approx(time.observed_of("prod", Endpoint.PING)[1])
    assert incident.down < 6 * INTERVAL
    assert incident.end is not None
    assert incident.end - incident.begin > 5 * HOUR


def test_each_endpoint_has_incidents_of_its_own() -> None:
    """Numbers are unique in the journal."""
    time = JournalTime("prod", "uat")
    journal = journal_of(time, "prod", "uat")
    run(journal, time, "ss", Endpoint.TOKEN)
    run(journal, time, "sss", Endpoint.PING)
    run(journal, time, "sss", Endpoint.PING, "uat")
    assert [each.number for each in journal.recent(10)] == [3, 2, 1]
    assert journal.open_incident("uat", Endpoint.TOKEN) is None
    incident = journal.open_incident("uat", Endpoint.PING)
    assert incident is not None
    assert incident.number == 3
    assert [each.number for each in journal.cached(environment="prod")] == [2, 1]


def test_incidents_are_selected_by_their_end() -> None:
    """Those that had not ended at that time."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "sss+")
    end = only(journal).end
    assert end is not None
    assert journal.cached(end) == []
    assert journal.cached(end - 1) == [only(journal)]


def test_results_before_the_load_are_applied_after_it() -> None:
    """A first failure continues the incident of the earlier process, and is not counted again."""
    time = JournalTime("prod")
    before = journal_of(time, "prod")
    run(before, time, "sss")
    time.opened.clear()
    after = journal_of(time, "prod", is_loaded=False)
    run(after, time, "ss")
    assert after.recent(10) == []
    after.load(LoadedJournal(7, (only(before),), (), ()))
    assert time.opened == []
    assert only(after).reasons == ((Reason.SERVER_ERROR, 5),)
    run(after, time, "+")
    run(after, time, "sss", Endpoint.TOKEN)
    assert [each.number for each in after.recent(10)] == [8, 1]


def test_no_token_is_kept_until_the_load() -> None:
    """The Results wait without their tokens, and their number is limited."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod", is_loaded=False)
    token = Token("secret", 60.0, 60.0, 60.0)
    for _ in range(MAX_EARLY_RESULTS + 1):
        journal.record(make_result(Endpoint.TOKEN, token=token))
    assert len(journal._early) == MAX_EARLY_RESULTS
    assert all(result.token is None for result, _ in journal._early)


def test_an_open_incident_of_a_removed_environment_ends_unobserved_at_the_load() -> None:
    """Its environment may have been removed while the monitor was stopped."""
    time = JournalTime("prod", "uat")
    before = journal_of(time, "prod", "uat")
    run(before, time, "sss", environment="uat")
    time.elapsed += HOUR
    after = journal_of(time, "prod", is_loaded=False)
    after.load(LoadedJournal(1, tuple(before.recent(10)), (), ()))
    incident = only(after)
    assert incident.end == time.clock.wall()
    assert incident.last_observed == incident.last.started_at + 0.5
    assert after.take_unsaved().incidents == {1: incident}


def test_a_late_load_ends_what_an_earlier_process_left_open() -> None:
    """The process went on without the file, so it cannot continue those incidents. Numbers stay unique."""
    time = JournalTime("prod")
    before = journal_of(time, "prod")
    run(before, time, "sss")
    after = journal_of(time, "prod", is_loaded=False)
    after.begin_without_file(5000)
    run(after, time, "sss")
    after.load(LoadedJournal(1, tuple(before.recent(10)), (), ()))
    newest, oldest = after.recent(10)
    assert (newest.number, newest.is_open) == (5001, True)
    assert (oldest.number, oldest.is_open) == (1, False)
    assert oldest.last_observed is not None


def test_a_removed_environment_ends_its_incidents_unobserved() -> None:
    """A reload removes it."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "sss")
    journal.remove("prod")
    assert only(journal).last_observed is not None
    run(journal, time, "sss")  # of a run that was in progress
    assert len(journal.recent(10)) == 1


def test_an_endpoint_that_moves_ends_its_incident_unobserved() -> None:
    """Another path of the same host, and other settings, let it go on."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "sss")
    journal.use("prod", {**URLS, Endpoint.PING: URLS[Endpoint.PING] + "/v2"})
    assert only(journal).is_open
    moved = "https://api2.example/ClientAPI/api/system/ping"
    journal.use("prod", {**URLS, Endpoint.PING: moved})
    assert not only(journal).is_open
    time.elapsed += HOUR
    run(journal, time, "sss")
    assert [each.url for each in journal.recent(10)] == [moved, URLS[Endpoint.PING]]


def test_a_change_of_an_incident_is_urgent_and_its_course_is_not() -> None:
    """The begin and the end are saved at once."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    calls: list[int] = []
    journal.on_change = lambda: calls.append(1)
    run(journal, time, "sssss")
    assert len(calls) == 1
    run(journal, time, "+++")
    assert len(calls) == 2


def test_unsaved_changes_are_kept_after_a_failed_save() -> None:
    """Newer ones take precedence, and totals are added."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "+sss")
    unsaved = journal.take_unsaved()
    assert not journal.take_unsaved()
    seconds = unsaved.totals["prod", Endpoint.PING, int(START // HOUR)]
    run(journal, time, "s")
    journal.put_back(unsaved)
    again = journal.take_unsaved()
    assert again.incidents[1].reasons == ((Reason.SERVER_ERROR, 4),)
    assert again.totals["prod", Endpoint.PING, int(START // HOUR)] > seconds


def test_the_number_of_cached_incidents_is_limited() -> None:
    """The open ones and the most recent ones are kept; the disk has all."""
    time = JournalTime("prod", "uat")
    journal = journal_of(time, "prod", "uat")
    run(journal, time, "sss", environment="uat")
    for _ in range(MAX_UNSAVED + 10):
        run(journal, time, "sss+")
        time.elapsed += HOUR
    incidents = journal.recent(MAX_UNSAVED)
    assert len(incidents) == MAX_CACHED
    assert incidents[-1].number == 1
    assert len(journal.take_unsaved().incidents) == MAX_UNSAVED


def test_the_number_of_unsaved_hours_is_limited() -> None:
    """While the disk fails, the oldest hours are lost, whether a save has been tried or not."""
    unsaved = Unsaved()
    for hour in range(MAX_UNSAVED_TOTALS + 500):
        unsaved.add(("prod", Endpoint.PING, hour), 3600.0, 0.0)
    assert len(unsaved.totals) <= MAX_UNSAVED_TOTALS
    older = Unsaved(totals={("prod", Endpoint.PING, hour - 5000): (3600.0, 0.0) for hour in range(5000)})
    unsaved.add_older(older)
    assert len(unsaved.totals) <= MAX_UNSAVED_TOTALS
    assert max(hour for *_, hour in unsaved.totals) == MAX_UNSAVED_TOTALS + 499


def test_merged_lists_prefer_the_cached_incidents() -> None:
    """It may be newer than the last save."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "sss")
    stored = journal.recent(10)
    run(journal, time, "+")
    assert list(merged(stored, journal.recent(10))) == journal.recent(10)


def test_a_hundred_environments_take_at_most_2_mb() -> None:
    """Measured with a year of totals, and as many incidents with long messages as are kept."""
    names = [f"e{number}" for number in range(100)]
    time = JournalTime(*names)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    journal = journal_of(time, *names)
    for number in range(MAX_CACHED + 20):
        for _ in range(3):
            result = make_result(
                environment=names[number % 100],
                reason=Reason.SERVER_ERROR,
                detail=f"{number:0500}",
                submission_id=f"sim-{number:032}",
            )
            journal.record(time.probe(result))
    days = [
        ((name, endpoint), int(START // DAY) - 400 + day, 86400.0, 1.0)
        for day in range(400)
        for name in names[:1]
        for endpoint in Endpoint
    ]
    for name in names:
        for endpoint in Endpoint:
            journal._sums[name, endpoint].add_to_day(int(START // DAY), 1.0, 0.0)
    journal.load(LoadedJournal(0, (), (), tuple(days)))
    journal.settle()
    journal.take_unsaved()
    del days
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 2_000_000


# Observed time per period.


def test_uptimes_are_sums_of_hours_and_days() -> None:
    """The oldest hour and the oldest day leave the period."""
    sums = UptimeSums()
    first = int(START // HOUR)
    for hour in range(first, first + 400 * 24):
        sums.add(hour, 3600.0, 36.0)
    now = (first + 400 * 24) * HOUR - 1.0
    day, month, year = sums.uptimes(now)
    assert (day.observed, day.down) == (24 * 3600.0, 24 * 36.0)
    hours_today = (first + 400 * 24) % 24 or 24
    assert month.observed == pytest.approx((29 * 24 + hours_today) * 3600.0)
    assert year.observed == pytest.approx((364 * 24 + hours_today) * 3600.0)
    assert year.share == pytest.approx(0.99)
    later = sums.uptimes(now + 25 * HOUR)
    assert later[0].observed == 0
    assert later[0].share is None
    assert later[1].observed < month.observed


def test_days_without_the_monitor_are_not_observed() -> None:
    """Nor do the totals of a year ago come back."""
    sums = UptimeSums()
    sums.add_to_day(1000, 50.0, 5.0)
    sums.add_to_day(1000 + 366, 10.0, 1.0)
    assert sums.uptimes((1000 + 366) * DAY + 10.0)[2].observed == 10.0
    sums.add_to_day(1000 + 365, 20.0, 2.0)  # a wall clock that was stepped back
    assert sums.between(1300 * DAY, 1400 * DAY) == (30.0, 3.0)


@given(st.floats(0, 4e9), st.floats(-1e6, 1e5))
def test_time_is_spread_over_its_hours(begin: float, seconds: float) -> None:
    """The shares add up to one; a step of the wall clock spreads nothing."""
    shares = list(spread(begin, begin + seconds))
    assert math.isclose(sum(share for _, share in shares), 1.0, rel_tol=1e-6)
    assert [hour for hour, _ in shares] == sorted({hour for hour, _ in shares})


@given(st.lists(st.tuples(st.sampled_from(["+", "s", "i", "n", "pause", "step"]), st.floats(1, 20_000)), max_size=60))
def test_down_time_never_exceeds_the_observed_time(course: list[tuple[str, float]]) -> None:
    """In every period and every saved hour; all sums are those of the metrics."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    saved: dict[tuple[str, Endpoint, int], tuple[float, float]] = {}
    for symbol, seconds in course:
        if symbol == "pause":
            time.elapsed += seconds
        elif symbol == "step":
            time.wall += seconds - 10_000
        else:
            run(journal, time, symbol)
    journal.settle()
    for uptime in journal.uptimes("prod", Endpoint.PING):
        assert 0 <= uptime.down <= uptime.observed + 1e-6
    saved.update(journal.take_unsaved().totals)
    assert all(0 <= down <= observed + 1e-9 for observed, down in saved.values())
    total = [sum(each[part] for key, each in saved.items() if key[1] is Endpoint.PING) for part in (0, 1)]
    assert total == pytest.approx(list(time.observed_of("prod", Endpoint.PING)))
    (incidents) = journal.recent(100)
    assert sum(each.down for each in incidents) <= total[1] + 1e-6


def test_cached_availability_has_whole_days() -> None:
    """It is the fallback without a database."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "+++")
    journal.settle()
    (entry,) = journal.availability(START - 1, START + 1)
    assert (entry.environment, entry.endpoint) == ("prod", Endpoint.PING)
    assert entry.uptime.observed == pytest.approx(time.observed_of("prod", Endpoint.PING)[0])
    assert entry.uptime.period == 2
    assert journal.availability(START + 2 * DAY, START + 3 * DAY) == []


def test_a_wall_clock_that_was_years_ahead_stops_no_sum() -> None:
    """The time that is observed after that belongs to the right days, and the wrong days count in no period."""
    sums = UptimeSums()
    hour = int(START // HOUR)
    sums.add(hour, 3600.0, 36.0)
    for ahead in range(30):
        sums.add(hour + 20 * 365 * 24 + ahead, 3600.0, 3600.0)
    for later in range(1, 40):
        sums.add(hour + later, 3600.0, 0.0)
    day, month, year = sums.uptimes((hour + 40) * HOUR - 1)
    assert (day.observed, day.down) == (24 * 3600.0, 0.0)
    assert month == replace(year, period=month.period)
    assert year.observed >= 39 * 3600.0
    assert year.down <= 36.0
    sums.add(hour + 24 * 45, 3600.0, 0.0)
    sums.add(hour + 40, 3600.0, 0.0)
    assert sums.uptimes((hour + 41) * HOUR)[2].observed == year.observed + 3600.0


def test_incidents_of_the_file_are_merged_one_by_one() -> None:
    """A list of 10,000 must not be in memory as a whole."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "sss+")
    incident, taken = only(journal), []

    def stored() -> Iterator[Incident]:
        for number in range(100):
            taken.append(number)
            yield replace(incident, number=-number, begin=incident.begin - number)

    listed = merged(stored(), [incident])
    assert next(iter(listed)) == incident
    assert len(taken) <= 2
    assert len(list(listed)) == 100
