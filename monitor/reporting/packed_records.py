"""Probe records as 34 bytes each, with their texts in a table that stores equal texts once.

A record as an object takes about 700 bytes. Durations are kept to seven digits and phases to three.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import overload

from monitor.model import Phase, Reason
from monitor.reporting.incident import ProbeRecord

# Start, duration, five phases, reason, failed phase, status, number of the route's texts, of the failure's texts.
_LAYOUT = struct.Struct("<df5eBBHII")
SIZE = _LAYOUT.size  # bytes
_NUMBERS = struct.Struct("<II")
_NUMBERS_AT = SIZE - _NUMBERS.size
_REASON_AT = 22
_REASONS: tuple[Reason | None, ...] = (None, *Reason)
_PHASES: tuple[Phase | None, ...] = (None, *Phase)
_LONGEST_PHASE = 65504.0  # seconds: the largest number of two bytes
# Bytes of an entry in the three dictionaries of a table, without its texts: measured 290.
_ENTRY_COST = 320

Texts = tuple[str | None, ...]


class TextTable:
    """Texts of records, each with the number of the records that use it. Not thread-safe, except for `get`.

    No number is assigned twice: a late reader of a discarded text gets no text instead of another one.
    """

    def __init__(self) -> None:
        self._numbers: dict[Texts, int] = {}
        self._texts: dict[int, Texts] = {}
        self._uses: dict[int, int] = {}
        self._last = 0
        self.size = 0  # bytes

    def add(self, texts: Texts) -> int:
        """Return the number of these texts, for one more record; 0 if there are none."""
        if not any(texts):
            return 0
        number = self._numbers.get(texts)
        if number is None:
            self._last = number = self._last + 1
            self._numbers[texts] = number
            self._texts[number] = texts
            self._uses[number] = 0
            self.size += cost(texts)
        self._uses[number] += 1
        return number

    def drop(self, number: int) -> None:
        """Note that one record fewer uses these texts."""
        if number:
            self._uses[number] -= 1
            if not self._uses[number]:
                texts = self._texts.pop(number)
                del self._uses[number], self._numbers[texts]
                self.size -= cost(texts)

    def get(self, number: int, length: int) -> Texts:
        """Return `length` texts; None for each if they were discarded."""
        return self._texts.get(number, (None,) * length)


def cost(texts: Texts) -> int:
    """Return the bytes that these texts take in a table."""
    return _ENTRY_COST + sum(sys.getsizeof(text) for text in texts if text)


def cost_of(record: ProbeRecord) -> int:
    """Return the bytes that the texts of a failure take in a table."""
    texts = _failure_texts(record)
    return cost(texts) if any(texts) else 0


def _failure_texts(record: ProbeRecord) -> Texts:
    return record.detail or None, record.error_code, record.submission_id


def pack(record: ProbeRecord, table: TextTable, *, with_texts: bool = True) -> bytes:
    """Return the record as bytes, and add its texts to `table`."""
    phases = [min(record.phases.get(phase, math.nan), _LONGEST_PHASE) for phase in Phase]
    return _LAYOUT.pack(
        record.started_at,
        min(record.duration, 3e38),
        *phases,
        _REASONS.index(record.reason),
        _PHASES.index(record.failed_phase),
        record.status or 0,
        table.add((record.address, record.tls_version)),
        table.add(_failure_texts(record)) if with_texts else 0,
    )


def unpack(packed: bytes, table: TextTable) -> ProbeRecord:
    """Return the record that was packed."""
    started_at, duration, *rest = _LAYOUT.unpack(packed)
    phases, (reason, failed_phase, status, route, failure) = rest[: len(Phase)], rest[len(Phase) :]
    address, tls_version = table.get(route, 2)
    detail, error_code, submission_id = table.get(failure, 3)
    reached = {phase: seconds for phase, seconds in zip(Phase, phases, strict=True) if not math.isnan(seconds)}
    return ProbeRecord(
        started_at=started_at,
        duration=duration,
        reason=_REASONS[reason],
        status=status or None,
        detail=detail or "",
        error_code=error_code,
        submission_id=submission_id,
        failed_phase=_PHASES[failed_phase],
        phases=MappingProxyType(reached),
        address=address,
        tls_version=tls_version,
    )


def is_failure(packed: bytes) -> bool:
    """Return whether a packed record is one of a failure."""
    return packed[_REASON_AT] != 0


def failures_of(packed: bytes) -> bytes:
    """Return those of several packed records that are failures."""
    positions = (number * SIZE for number, reason in enumerate(packed[_REASON_AT::SIZE]) if reason)
    return b"".join(packed[position : position + SIZE] for position in positions)


def discard(packed: bytes, table: TextTable) -> None:
    """Drop the texts of a packed record that is no longer kept."""
    for number in _NUMBERS.unpack_from(packed, _NUMBERS_AT):
        table.drop(number)


def strip(buffer: bytearray, position: int, table: TextTable) -> bool:
    """Remove the failure's texts of the packed record at a position of a buffer; return whether it had some."""
    route, failure = _NUMBERS.unpack_from(buffer, position + _NUMBERS_AT)
    if not failure:
        return False
    table.drop(failure)
    _NUMBERS.pack_into(buffer, position + _NUMBERS_AT, route, 0)
    return True


class UnpackedRecords(Sequence[ProbeRecord]):
    """Packed records that are unpacked when they are read. Thread-safe.

    Most readers draw a few endpoints only, and unpacking takes 4 µs for each record.
    """

    def __init__(self, packed: bytes, table: TextTable) -> None:
        self._packed = packed
        self._table = table

    def __len__(self) -> int:
        return len(self._packed) // SIZE

    @overload
    def __getitem__(self, index: int) -> ProbeRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ProbeRecord]: ...
    def __getitem__(self, index: int | slice) -> ProbeRecord | Sequence[ProbeRecord]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        position = range(len(self))[index] * SIZE  # raises IndexError
        return unpack(self._packed[position : position + SIZE], self._table)
