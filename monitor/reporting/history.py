"""History of single probes: the last 500 of each endpoint and the last 200 failures before these, in 4 MB at most."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from monitor.model import Endpoint, Result
from monitor.reporting import packed_records
from monitor.reporting.incident import ProbeRecord
from monitor.reporting.packed_records import SIZE, TextTable, UnpackedRecords
from monitor.reporting.records import record_of

MAX_RECORDS = 500  # of an endpoint, with any outcome
MAX_EARLIER_FAILURES = 200  # of an endpoint, before those records
MIN_RECORDS = 60  # of an endpoint, with any number of endpoints: those of an overview
MAX_SIZE = 4_000_000  # bytes of all endpoints
_STEP = 50  # records by which a ring grows or shrinks
_RING_COST = 400  # bytes of an empty ring

Host = tuple[str, Endpoint]


class _Ring:
    """The most recent packed records in a buffer that grows by steps, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit  # records
        self.count = 0
        self.capacity = 0  # records for which there is memory
        self._buffer = bytearray()
        self._first = 0  # position of the oldest record

    @property
    def is_full(self) -> bool:
        """Whether the next record replaces the oldest one or needs more memory."""
        return self.count == self.capacity

    @property
    def may_grow(self) -> bool:
        """Whether the ring is below its limit."""
        return self.capacity < self.limit

    def resize(self, capacity: int) -> list[bytes]:
        """Change the capacity, in records. Return the oldest records, which no longer fit."""
        packed = self.packed()
        removed = max(0, self.count - capacity)
        kept = packed[removed * SIZE :]
        self._buffer = bytearray(capacity * SIZE)
        self._buffer[: len(kept)] = kept
        self._first, self.count, self.capacity = 0, len(kept) // SIZE, capacity
        return [packed[position * SIZE : (position + 1) * SIZE] for position in range(removed)]

    def append(self, packed: bytes) -> bytes | None:
        """Add a record. Return the oldest one if it was replaced. A ring without memory returns the record itself."""
        if not self.capacity:
            return packed
        position = (self._first + self.count) % self.capacity * SIZE
        replaced = bytes(self._buffer[position : position + SIZE]) if self.is_full else None
        self._buffer[position : position + SIZE] = packed
        if replaced is None:
            self.count += 1
        else:
            self._first = (self._first + 1) % self.capacity
        return replaced

    def strip_oldest(self, table: TextTable) -> bool:
        """Remove the texts of the oldest failure that has some; return whether there was one."""
        positions = ((self._first + each) % self.capacity * SIZE for each in range(self.count))
        return any(packed_records.strip(self._buffer, position, table) for position in positions)

    def packed(self, last: int | None = None) -> bytes:
        """Return the records, oldest first; only the `last` ones if a number is given."""
        count = self.count if last is None else min(last, self.count)
        begin = self._first + self.count - count
        if not count:
            return b""
        begin %= self.capacity
        tail = self._buffer[begin * SIZE : (begin + count) * SIZE]
        return bytes(tail + self._buffer[: (count * SIZE - len(tail))])


class _EndpointHistory:
    """The rings of one endpoint."""

    def __init__(self) -> None:
        self.recent = _Ring(MAX_RECORDS)
        self.failures = _Ring(MAX_EARLIER_FAILURES)


class History:
    """Keeps the results of all endpoints. Thread-safe.

    If the memory is used up, the endpoint that holds the most records loses its oldest ones: successes, while its
    earlier failures fit among the others.
    """

    def __init__(self, max_size: int = MAX_SIZE) -> None:
        self._mutex = threading.Lock()
        self._table = TextTable()
        self._endpoints: dict[Host, _EndpointHistory] = {}
        self._capacity = 0  # records of all rings
        self._is_minimal = False  # no ring can shrink; searching for one in 100 environments takes 0.2 ms
        self._max_size = max_size

    def record(self, result: Result) -> None:
        """Keep a Result that decided the state of its endpoint."""
        if result.is_decisive:
            self.add(result.environment, result.endpoint, record_of(result))

    def add(self, environment: str, endpoint: Endpoint, record: ProbeRecord) -> None:
        """Keep a record."""
        with self._mutex:
            history = self._endpoints.setdefault((environment, endpoint), _EndpointHistory())
            has_room = self._make_room(packed_records.cost_of(record), history)
            packed = packed_records.pack(record, self._table, with_texts=has_room)
            if not history.recent.capacity:
                self._make_room(MIN_RECORDS * SIZE, history)
                self._resize(history.recent, MIN_RECORDS)
            elif history.recent.is_full and history.recent.may_grow:
                self._grow(history.recent, may_shrink_others=True)
            replaced = history.recent.append(packed)
            if replaced is not None:
                self._move(history, replaced)

    def remove(self, environment: str) -> None:
        """Discard the history of a removed environment."""
        with self._mutex:
            for endpoint in Endpoint:
                history = self._endpoints.pop((environment, endpoint), None)
                if history is not None:
                    for ring in (history.recent, history.failures):
                        self._resize(ring, 0)

    def last(self, environment: str, endpoint: Endpoint, count: int) -> Sequence[ProbeRecord]:
        """Return the last `count` records of an endpoint, oldest first."""
        with self._mutex:
            history = self._endpoints.get((environment, endpoint))
            return UnpackedRecords(b"" if history is None else history.recent.packed(count), self._table)

    def all(self, environment: str, endpoint: Endpoint) -> Sequence[ProbeRecord]:
        """Return all records of an endpoint, oldest first. They begin with failures only."""
        with self._mutex:
            history = self._endpoints.get((environment, endpoint))
            packed = b"" if history is None else history.failures.packed() + history.recent.packed()
            return UnpackedRecords(packed, self._table)

    def failures(self, environment: str, endpoint: Endpoint) -> Sequence[ProbeRecord]:
        """Return all records of failures of an endpoint, oldest first."""
        with self._mutex:
            history = self._endpoints.get((environment, endpoint))
            packed = b"" if history is None else history.failures.packed() + history.recent.packed()
        return UnpackedRecords(packed_records.failures_of(packed), self._table)

    @property
    def _size(self) -> int:
        return self._capacity * SIZE + self._table.size + 2 * _RING_COST * len(self._endpoints)

    def _move(self, history: _EndpointHistory, packed: bytes) -> None:
        """Keep a record that no longer is a recent one if it is a failure."""
        if packed_records.is_failure(packed):
            if history.failures.is_full and history.failures.may_grow:
                self._grow(history.failures, may_shrink_others=False)
            dropped = history.failures.append(packed)
        else:
            dropped = packed
        if dropped is not None:
            packed_records.discard(dropped, self._table)

    def _grow(self, ring: _Ring, *, may_shrink_others: bool) -> None:
        wanted = min(ring.limit, ring.capacity + _STEP)
        needed = (wanted - ring.capacity) * SIZE
        if may_shrink_others and self._size + needed > self._max_size:
            largest = self._largest()
            if largest is not None and largest.recent.capacity > wanted:
                self._shrink(largest)
        if self._size + needed <= self._max_size:
            self._resize(ring, wanted)

    def _make_room(self, wanted: int, history: _EndpointHistory) -> bool:
        """Free `wanted` bytes; return whether that was possible.

        The largest rings shrink until all are small. Then the oldest texts of the endpoint go.
        """
        while self._size + wanted > self._max_size:
            if (largest := self._largest()) is not None:
                self._shrink(largest)
            elif not history.recent.strip_oldest(self._table):
                return False
        return True

    def _largest(self) -> _EndpointHistory | None:
        if self._is_minimal:
            return None
        largest = max(self._endpoints.values(), key=lambda history: history.recent.capacity, default=None)
        if largest is not None and largest.recent.capacity > MIN_RECORDS:
            return largest
        largest = max(self._endpoints.values(), key=lambda history: history.failures.capacity, default=None)
        if largest is not None and largest.failures.capacity:
            return largest
        self._is_minimal = True
        return None

    def _shrink(self, history: _EndpointHistory) -> None:
        recent = history.recent
        if recent.capacity > MIN_RECORDS:
            wanted = max(MIN_RECORDS, recent.capacity - _STEP)
            self._capacity -= recent.capacity - wanted
            for removed in recent.resize(wanted):
                self._move(history, removed)
        else:
            self._resize(history.failures, max(0, history.failures.capacity - _STEP))

    def _resize(self, ring: _Ring, capacity: int) -> None:
        self._capacity += capacity - ring.capacity
        self._is_minimal = self._is_minimal and capacity <= ring.capacity
        for removed in ring.resize(capacity):
            packed_records.discard(removed, self._table)
