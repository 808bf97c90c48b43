"""History of single probes: the records that are kept, and the memory that they take."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Endpoint, Phase, Reason, Role
from monitor.reporting.history import MAX_EARLIER_FAILURES, MAX_RECORDS, MAX_SIZE, MIN_RECORDS, History
from monitor.reporting.incident import ProbeRecord
from monitor.reporting.packed_records import SIZE, TextTable, pack, unpack
from tests.support.results import make_result

PHASES = MappingProxyType({phase: 0.0123 * position for position, phase in enumerate(Phase, start=1)})


def record(number: int, reason: Reason | None = None, detail: str = "") -> ProbeRecord:
    """Return the record of the probe with a number, which is its start."""
    return ProbeRecord(
        started_at=float(number),
        duration=0.25,
        reason=reason,
        status=200 if reason is None else 503,
        detail=detail,
        submission_id=None if reason is None else f"sim-{number:08}",
        failed_phase=None if reason is None else Phase.PROCESSING,
        phases=PHASES,
        address="192.0.2.1",
        tls_version="TLSv1.3",
    )


def starts(records: Sequence[ProbeRecord]) -> list[int]:
    """Return the numbers of the records."""
    return [int(each.started_at) for each in records]


def fill(history: History, count: int, *, failures: bool, environments: int = 1, first: int = 0) -> None:
    """Add probes to both endpoints of some environments."""
    reason, detail = (Reason.SERVER_ERROR, "out of order") if failures else (None, "")
    names = [(f"e{number}", endpoint) for number in range(environments) for endpoint in Endpoint]
    for number in range(first, first + count):
        probe = record(number, reason, detail)
        for host in names:
            history.add(*host, probe if reason is None else replace(probe, submission_id=f"{host}-{number}"))


def test_the_last_records_are_kept() -> None:
    """The oldest one is dropped for a new one."""
    history = History()
    fill(history, MAX_RECORDS + 7, failures=False)
    assert starts(history.all("e0", Endpoint.PING)) == list(range(7, MAX_RECORDS + 7))
    assert starts(history.last("e0", Endpoint.PING, 3)) == [MAX_RECORDS + 4, MAX_RECORDS + 5, MAX_RECORDS + 6]


def test_failures_before_the_last_records_are_kept_longer() -> None:
    """At most 200 of them, the latest ones."""
    history = History()
    fill(history, MAX_EARLIER_FAILURES + 5, failures=True)
    fill(history, MAX_RECORDS, failures=False, first=1000)
    shown = starts(history.all("e0", Endpoint.PING))
    assert shown == [*range(5, MAX_EARLIER_FAILURES + 5), *range(1000, 1000 + MAX_RECORDS)]


def test_failures_are_selected() -> None:
    """Among the last records and before them."""
    history = History()
    fill(history, 3, failures=True)
    fill(history, MAX_RECORDS - 1, failures=False, first=1000)
    fill(history, 1, failures=True, first=5000)
    assert starts(history.failures("e0", Endpoint.PING)) == [0, 1, 2, 5000]
    assert len(history.failures("unknown", Endpoint.PING)) == 0


def test_only_decisive_results_are_kept() -> None:
    """A retried exchange and an unauthenticated probe decide nothing."""
    history = History()
    for role in Role:
        history.record(make_result(role=role))
    assert len(history.all("prod", Endpoint.PING)) == 1


def test_a_record_is_read_as_it_was_written() -> None:
    """Durations to seven digits, phases to three, all else exactly."""
    history = History()
    written = record(7, Reason.SERVER_ERROR, "out of order")
    history.add("prod", Endpoint.PING, written)
    (read,) = history.all("prod", Endpoint.PING)
    assert read == ProbeRecord(**{name: getattr(written, name) for name in _names()} | {"phases": read.phases})
    assert dict(read.phases) == pytest.approx(dict(PHASES), rel=1e-3)


def _names() -> tuple[str, ...]:
    return tuple(ProbeRecord.__dataclass_fields__)


def test_records_are_a_sequence() -> None:
    """Readers index and slice it."""
    history = History()
    fill(history, 5, failures=False)
    records = history.all("e0", Endpoint.TOKEN)
    assert starts(records[1:3]) == [1, 2]
    assert records[-1].started_at == 4.0
    with pytest.raises(IndexError):
        records[5]
    assert len(history.all("unknown", Endpoint.TOKEN)) == 0


def test_a_removed_environment_has_no_history() -> None:
    """Its texts are dropped, too."""
    history = History()
    fill(history, 5, failures=True)
    history.remove("e0")
    assert len(history.all("e0", Endpoint.PING)) == 0
    assert history._table.size == 0
    assert history._capacity == 0


def test_a_late_reader_gets_no_text_of_another_record() -> None:
    """Records that were read before their texts were discarded have none."""
    history = History()
    fill(history, 1, failures=True)
    records = history.all("e0", Endpoint.PING)
    history.remove("e0")
    history.add("e1", Endpoint.PING, record(1, Reason.DNS, "another text"))
    assert (records[0].detail, records[0].submission_id, records[0].address) == ("", None, None)
    assert records[0].reason is Reason.SERVER_ERROR


@pytest.mark.once
@pytest.mark.no_cover  # it would take most of the time, and the other tests execute the same lines
@pytest.mark.parametrize("failures", [False, True])
def test_a_hundred_environments_take_at_most_4_mb(*, failures: bool) -> None:
    """Measured, also if each failure has texts of its own. With successes only, each endpoint keeps 500."""
    history = History()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fill(history, 2 * MIN_RECORDS if failures else MAX_RECORDS + 1, failures=failures, environments=100)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < MAX_SIZE
    counts = {len(history.all(f"e{number}", endpoint)) for number in range(100) for endpoint in Endpoint}
    if failures:
        assert min(counts) >= MIN_RECORDS
    else:
        assert counts == {MAX_RECORDS}


def test_long_texts_are_left_out_if_there_is_no_room() -> None:
    """A hostile server cannot take more memory with texts of 1,024 characters; the records themselves are kept."""
    history = History(max_size=200_000)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(2000):
        history.add(f"e{number % 10}", Endpoint.PING, record(number, Reason.SERVER_ERROR, f"{number:01024}"))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 210_000
    for environment in range(10):
        assert starts(history.last(f"e{environment}", Endpoint.PING, 1)) == [1990 + environment]


def test_the_endpoint_with_the_most_records_loses_them_first() -> None:
    """Its oldest ones go. Another endpoint can still grow."""
    history = History(max_size=400 * SIZE + 4000)
    for number in range(500):
        history.add("busy", Endpoint.PING, record(number))
    for number in range(200):
        history.add("quiet", Endpoint.PING, record(number))
    busy, quiet = (starts(history.all(name, Endpoint.PING)) for name in ("busy", "quiet"))
    assert busy[-1] == 499
    assert MIN_RECORDS <= len(busy) < 400
    assert len(quiet) > MIN_RECORDS


@given(st.lists(st.sampled_from([None, *Reason]), max_size=1200), st.integers(20_000, 100_000))
def test_records_stay_in_order_within_the_limits(reasons: list[Reason | None], max_size: int) -> None:
    """At every limit of memory, the latest records are the last ones, and the accounts are right."""
    history = History(max_size=max_size)
    for number, reason in enumerate(reasons):
        history.add("prod", Endpoint.PING, record(number, reason))
    shown = starts(history.all("prod", Endpoint.PING))
    assert shown == sorted(shown)
    recent = starts(history.last("prod", Endpoint.PING, MAX_RECORDS))
    assert recent == list(range(len(reasons) - len(recent), len(reasons)))
    assert len(recent) >= min(len(reasons), MIN_RECORDS)
    assert all(reasons[number] is not None for number in shown[: len(shown) - len(recent)])
    rings = [ring for each in history._endpoints.values() for ring in (each.recent, each.failures)]
    assert history._capacity == sum(ring.capacity for ring in rings)


@given(
    st.builds(
        ProbeRecord,
        started_at=st.floats(0, 4e9),
        duration=st.floats(0, 1e5, width=32),
        reason=st.none() | st.sampled_from(Reason),
        status=st.none() | st.integers(100, 999),
        detail=st.text(max_size=20),
        error_code=st.none() | st.text(min_size=1, max_size=5),
        submission_id=st.none() | st.text(min_size=1, max_size=5),
        failed_phase=st.none() | st.sampled_from(Phase),
        phases=st.dictionaries(st.sampled_from(Phase), st.floats(0, 60, width=16)),
        address=st.none() | st.just("192.0.2.1"),
        tls_version=st.none() | st.just("TLSv1.3"),
    )
)
def test_every_record_can_be_packed(written: ProbeRecord) -> None:
    """Values that fit are read unchanged."""
    table = TextTable()
    assert unpack(pack(written, table), table) == written
