"""Field names and rejected credentials: the next login request that is allowed after the responses so far.

Pure functions of `LoginRecord`, which `State` persists per token URL and credentials. The vendor does not document
which field names its server accepts, whether it locks accounts, or how it reports a wrong password; nine real servers
differ in all three. So both names are tried, each until a grant or a refusal settles it, and the number of requests
that contain a refused password is limited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from types import MappingProxyType

from monitor.model import FieldNames, Result

PAUSES = (20 * 60.0, 60 * 60.0, 24 * 60 * 60.0)  # seconds after the first, the second, and each later rejected run
RESPONSES_TO_SETTLE = 3  # responses that are no refusals settle a name whose other was refused
NEVER = -math.inf  # a time before all others
STOPPED = math.inf  # no login until the credentials change or an operator asks
OTHER = MappingProxyType({FieldNames.DOCUMENTED: FieldNames.RFC6749, FieldNames.RFC6749: FieldNames.DOCUMENTED})


class Weight(IntEnum):
    """Weight of a refusal: the degree to which it concerns the credentials and not the form of the request."""

    OTHER = 0
    UNAUTHORIZED = 1  # status 401
    NAMES_CREDENTIALS = 2  # RFC 6749's code for wrong credentials, or the vendor's sentence


@dataclass(frozen=True, slots=True)
class NameRecord:
    """Responses to requests with one pair of field names."""

    refusal: Weight | None = None  # of the last refusal; None: not refused
    responses: int = 0  # responses that were no refusals; reset to 0 when the other name is refused


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """Login state of one set of credentials at one token URL. Times are seconds on the monotonic clock."""

    names: Mapping[FieldNames, NameRecord] = field(
        default_factory=lambda: MappingProxyType({names: NameRecord() for names in FieldNames})
    )
    counted: int = 0  # requests since the last grant that a server may have counted as failed logins
    pauses: int = 0  # runs since the last grant that ended rejected
    rejected: bool = False  # the credentials were rejected
    resume_at: float = NEVER  # no login before this time; STOPPED: no login
    reload_used: bool = False  # a reload has granted its one attempt
    signalled_at: float = NEVER  # time of the last attempt that a signal granted
    in_flight: bool = False  # a request was sent and its response has not been recorded

    @property
    def any_refused(self) -> bool:
        """Whether either pair of field names was refused since the last grant."""
        return any(name.refusal is not None for name in self.names.values())


def names_to_send(
    record: LoginRecord, granted: FieldNames | None, pinned: FieldNames | None, *, operator: bool
) -> tuple[FieldNames, ...]:
    """Return the field names of one run: one, or two if the second may follow a refusal of the first.

    The token URL has accepted the `granted` names before; the settings require the `pinned` names. An attempt that an
    `operator` requested also sends the names that were refused with less weight.
    """
    if pinned is not None:
        return (pinned,)
    if granted is not None:  # a server may have changed its names; a refusal that names credentials rules that out
        may_have_changed = operator and record.names[granted].refusal is Weight.OTHER
        return (granted, OTHER[granted]) if may_have_changed else (granted,)
    unsettled = [names for names in FieldNames if not _is_settled(record, names)]
    if unsettled:
        return tuple(sorted(unsettled, key=lambda names: record.names[names].responses))
    preferred = _preferred(record)
    return (preferred, OTHER[preferred]) if operator else (preferred,)


def is_rejected(record: LoginRecord, granted: FieldNames | None, pinned: FieldNames | None) -> bool:
    """Return whether the server has refused all field names that may be sent."""
    only = pinned or granted
    if only is not None:
        return record.names[only].refusal is not None
    return record.any_refused and all(_is_settled(record, names) for names in FieldNames)


def weight(result: Result) -> Weight:
    """Return the weight of a refused login."""
    if result.verdict.names_credentials:
        return Weight.NAMES_CREDENTIALS
    return Weight.UNAUTHORIZED if result.measurement.status == 401 else Weight.OTHER


def after_exchange(record: LoginRecord, names: FieldNames, result: Result) -> LoginRecord:
    """Return the record after `result` of a login request with `names`.

    After the first refusal, a request without a response counts as a refusal, because the server may have counted it.
    Before the first refusal, it counts only if the process ended during the request (`after_restart`).
    """
    record = replace(record, in_flight=False)
    if result.success:
        return LoginRecord(signalled_at=record.signalled_at)
    if result.verdict.refused:
        return _refused(record, names, weight(result))
    if not record.any_refused:
        record = replace(record, counted=0)
    elif result.sent and not result.has_known_outcome:
        return replace(record, counted=record.counted + 1)
    if not result.has_known_outcome:
        return record
    name = record.names[names]
    return replace(record, names=_with(record, {names: replace(name, responses=name.responses + 1)}))


def after_restart(record: LoginRecord, limit: int, now: float) -> LoginRecord:
    """Return the record at the start of a process; a request without a response counts as refused.

    An ordinary restart can leave one such request, so a single one causes no delay. `limit` is a number of requests.
    """
    if not record.in_flight:
        return record
    before, record = record.counted, replace(record, in_flight=False, counted=record.counted + 1)
    if record.counted == 1:
        return record
    return suppressed(record, before, limit, now)


def suppressed(record: LoginRecord, counted_before: int, limit: int, now: float, at_least: float = 0.0) -> LoginRecord:
    """Return the record after a run that ended rejected; `at_least` is the shortest pause, in seconds.

    A run that counted nothing (429, 5xx, no connection) repeats the previous pause and does not shorten it. Requests
    that have no response because of restarts do not reject the credentials until the limit stops logins.
    """
    pauses = max(1, record.pauses + (record.counted > counted_before))
    resume_at = STOPPED if record.counted >= limit else now + max(pause_after(pauses), at_least)
    rejected = record.any_refused or resume_at == STOPPED
    return replace(record, rejected=rejected, pauses=pauses, resume_at=resume_at)


def pause_after(pauses: int) -> float:
    """Return the length in seconds of the pause after the given number of rejected runs, at least one."""
    return PAUSES[min(max(1, pauses), len(PAUSES)) - 1]


def with_limit(record: LoginRecord, limit: int, now: float) -> LoginRecord:
    """Return the record with another limit: a higher limit resumes stopped logins, a lower limit stops them."""
    if not record.rejected or (record.counted >= limit) == (record.resume_at == STOPPED):
        return record
    return suppressed(record, record.counted, limit, now)


def _refused(record: LoginRecord, names: FieldNames, refusal: Weight) -> LoginRecord:
    """Settle `names`; if this refusal is the first, start to count the responses to the other names.

    Earlier responses do not depend on the names: in an outage both names get them.
    """
    changes = {names: replace(record.names[names], refusal=refusal)}
    other = record.names[OTHER[names]]
    if record.names[names].refusal is None and other.refusal is None:
        changes[OTHER[names]] = replace(other, responses=0)
    return replace(record, names=_with(record, changes), counted=record.counted + 1)


def _is_settled(record: LoginRecord, names: FieldNames) -> bool:
    name = record.names[names]
    other_refused = record.names[OTHER[names]].refusal is not None
    return name.refusal is not None or (other_refused and name.responses >= RESPONSES_TO_SETTLE)


def _preferred(record: LoginRecord) -> FieldNames:
    """Return the refused names whose refusal has the greater weight; if both are equal, RFC 6749's."""

    def order(names: FieldNames) -> tuple[int, bool]:
        refusal = record.names[names].refusal
        return (-1 if refusal is None else refusal, names is FieldNames.RFC6749)

    return max(FieldNames, key=order)


def _with(record: LoginRecord, changes: Mapping[FieldNames, NameRecord]) -> Mapping[FieldNames, NameRecord]:
    return MappingProxyType({**record.names, **changes})
