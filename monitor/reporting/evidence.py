"""The text about an incident that an operator sends to the party that can end it: an e-mail in plain text."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor import __version__
from monitor.hosts import host_of
from monitor.log import timestamp
from monitor.model import Endpoint, Reason, Responsibility
from monitor.reporting.incident import Incident, ProbeRecord
from monitor.reporting.records import end_of
from monitor.reporting.steps import step_of
from monitor.reporting.words import counted, duration, telling_phase
from monitor.tigr.remedies import SUPPORT

WIDTH = 76  # characters of a line: an e-mail in plain text is not wrapped again
MAX_KINDS = 10  # kinds of failures that are described
MAX_MESSAGE = 600  # characters of a message of the server that are quoted
_JOBS = {Endpoint.TOKEN: "log in to the TIGR registry", Endpoint.PING: "ping the TIGR Client API"}
_NOT_FOR_VENDOR = {
    Responsibility.CREDENTIALS: "the person at your organization who keeps the credentials. They are rejected.",
    Responsibility.NETWORK: "the administrators of your own network. The requests do not reach the vendor.",
    Responsibility.MONITOR: "the administrators of the monitor. The monitor or its machine has failed.",
}
_REQUESTS_TO_OTHERS = {
    Responsibility.CREDENTIALS: "Please compare the configured values with those that the vendor issued, and correct "
    "them. Do not log in by hand, because more wrong passwords may lock the account. If all values are right, ask "
    f"{SUPPORT} whether the account is locked or disabled.",
    Responsibility.NETWORK: "Please check name resolution, proxy, firewall and the CA certificates on this machine. If "
    f"it can reach another host on the internet, forward this text to {SUPPORT}.",
    Responsibility.MONITOR: "Please check the log of the monitor and the limits of its machine.",
}


@dataclass(frozen=True, slots=True)
class _Group:
    """Failures that differ in time and submissionId only."""

    first: ProbeRecord
    last: ProbeRecord
    count: int


def is_for_vendor(incident: Incident) -> bool:
    """Return whether the vendor's support can help. The IP allowlist is the vendor's, although the address is ours."""
    return incident.responsibility not in _NOT_FOR_VENDOR or incident.last.reason is Reason.FORBIDDEN


def subject_of(incident: Incident) -> str:
    """Return the subject of the e-mail, in ASCII."""
    status = "" if incident.last.status is None else f", status {incident.last.status}"
    verb = "has failed since" if incident.is_open else "failed at"
    job = {Endpoint.TOKEN: "login to the TIGR registry", Endpoint.PING: "TIGR Client API ping"}[incident.endpoint]
    text = f"{job} {verb} {timestamp(incident.begin)} ({incident.last.reason}{status})"
    return text.encode("ascii", "replace").decode()


def evidence(incident: Incident, failures: Iterable[ProbeRecord], now: float) -> str:
    """Return the e-mail about an incident. `failures` are those that the history has; `now` is in Unix seconds.

    The redactor has checked every text of a server, so the e-mail contains no secret.
    """
    if is_for_vendor(incident):
        begin, request = [f"To: {SUPPORT}"], _request(incident)
    else:
        addressee = _NOT_FOR_VENDOR[incident.responsibility]
        begin = [_wrapped(f"Not for the vendor's support, but for {addressee}"), ""]
        request = _REQUESTS_TO_OTHERS[incident.responsibility]
    blocks = [
        *begin,
        f"Subject: {subject_of(incident)}",
        "",
        _wrapped(_summary(incident, now)),
        "",
        *_facts(incident, now),
        "",
        "Failures",
        "",
        *_described(incident, failures),
        *_decisions(incident),
        _wrapped(
            f"Measured by tigr-monitor {__version__} with Python {platform.python_version()}. All times are in UTC, by "
            "the clock of the monitor's machine. This text contains no secret: no password, no client secret and no "
            "token."
        ),
        "",
        _wrapped(request),
    ]
    return "\n".join(blocks) + "\n"


def _summary(incident: Incident, now: float) -> str:
    job = _JOBS[incident.endpoint]
    count = counted(sum(count for _, count in incident.reasons), "request")
    if incident.end is None:
        length = duration(now - incident.begin)
        return f"Our client has not been able to {job} since {timestamp(incident.begin)}: {count} failed in {length}."
    length = duration(incident.end - incident.begin)
    return (
        f"From {timestamp(incident.begin)} to {timestamp(incident.end)} our client could not {job}: {count} failed in "
        f"{length}."
    )


def _facts(incident: Incident, now: float) -> Iterator[str]:
    step = step_of(incident.endpoint, incident.url, incident.last)
    yield from _row("Environment", incident.environment)
    yield from _row("Host", host_of(incident.url))
    yield from _row("Sent", step.sent)
    yield from _row("Expected", step.expected)
    yield from _row("Received", _shortened(step.received))
    yield from _row("Begin", timestamp(incident.begin))
    yield from _row("End", _end(incident, now))
    yield from _row("Failures", ", ".join(f"{count} {reason}" for reason, count in incident.reasons))
    yield from _row(
        "Down time",
        f"{duration(incident.down)} ({'observed until the last failure' if incident.is_open else 'observed'})",
    )
    if incident.episodes > 1:
        yield from _row("Episodes", f"{incident.episodes}, each less than ten minutes after the one before")
    if incident.submission_ids:
        yield from _row("submissionId", ", ".join(incident.submission_ids))
    yield from _row("Responsible", incident.responsibility.probable_text)


def _end(incident: Incident, now: float) -> str:
    if incident.end is None:
        return f"still open at {timestamp(now)}, when this text was written"
    if incident.last_observed is not None:
        return f"between {timestamp(incident.last_observed)} and {timestamp(incident.end)}, not observed"
    return timestamp(incident.end)


def _described(incident: Incident, failures: Iterable[ProbeRecord]) -> Iterator[str]:
    """Yield the lines about each kind of failure. Older ones than the history has are the first and the last one."""
    groups = _grouped(incident, failures)
    for number, group in enumerate(groups[:MAX_KINDS], start=1):
        record = group.last
        times = f"at {timestamp(group.first.started_at)}"
        if group.count > 1:
            times = f"{group.count} times, first {times}, last at {timestamp(record.started_at)}"
        yield _wrapped(f"{number}. {_failure(record)}, {times}", "   ")
        for line in _details(record):
            yield _wrapped(f"   {line}", "      ")
        yield ""
    if len(groups) > MAX_KINDS:
        yield f"and {counted(len(groups) - MAX_KINDS, 'further kind')} of failures"
        yield ""


def _failure(record: ProbeRecord) -> str:
    phase = telling_phase(record.reason, record.failed_phase, record.status) if record.reason else None
    return f"{record.reason} in the phase {phase}" if phase else f"{record.reason}"


def _details(record: ProbeRecord) -> Iterator[str]:
    if record.status is not None:
        yield f"status: {record.status}"
    if record.error_code:
        yield f"code: {_plain(record.error_code)}"
    if record.submission_id:
        yield f"submissionId: {_plain(record.submission_id)}"
    if record.detail:
        yield f"message: {_shortened(record.detail)}"
    if record.address:
        yield f"connected to: {record.address}" + (f", {record.tls_version}" if record.tls_version else "")
    if record.phases:
        phases = ", ".join(f"{phase} {seconds * 1000:.1f} ms" for phase, seconds in record.phases.items())
        yield f"duration: {record.duration * 1000:.1f} ms ({phases})"


def _grouped(incident: Incident, failures: Iterable[ProbeRecord]) -> list[_Group]:
    end = incident.end or float("inf")
    known = {
        record.started_at: record
        for record in (*failures, incident.last, incident.first)
        if record.reason is not None
        and record.reason not in (Reason.NO_TOKEN, Reason.INTERNAL)
        and incident.begin <= end_of(record)
        and record.started_at <= end
    }
    groups: dict[Sequence[object], _Group] = {}
    for _, record in sorted(known.items()):
        key = record.reason, record.status, record.error_code, record.failed_phase, record.detail
        group = groups.get(key)
        groups[key] = _Group(record, record, 1) if group is None else _Group(group.first, record, group.count + 1)
    return sorted(groups.values(), key=lambda group: -group.count)


def _decisions(incident: Incident) -> Iterator[str]:
    if incident.decisions:
        yield "Decisions of our client"
        yield ""
        for decided in incident.decisions:
            yield _wrapped(f"- {decided}", "  ")
        yield ""


def _request(incident: Incident) -> str:
    """Return the request to the vendor's support."""
    quoted = ", with the submissionIds above," if incident.submission_ids else ""
    by_reason = {
        Reason.FORBIDDEN: "Please check whether the address from which you see our requests is on your IP allowlist, "
        "and tell us that address.",
        Reason.RATE_LIMITED: "Please tell us which limit our requests exceed, and which requests of our user you see.",
        Reason.UNAUTHORIZED: f"Please find out{quoted} why the API refuses a token that your authorization server has "
        "granted.",
        Reason.CERTIFICATE: "Please check the certificate of the host, and tell us when it has been replaced.",
    }
    fallback = f"Please find out{quoted} why these requests fail, and tell us the cause and the end of the failure."
    return f"{by_reason.get(incident.last.reason or Reason.INTERNAL, fallback)} Please respond to this e-mail."


def _row(name: str, text: str) -> Iterator[str]:
    yield _wrapped(f"{name + ':':<14}{_plain(text)}", " " * 14)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _shortened(text: str) -> str:
    plain = _plain(text)
    return plain if len(plain) <= MAX_MESSAGE else f"{plain[:MAX_MESSAGE]}... ({len(plain)} characters)"


def _plain(text: str) -> str:
    """Return text of a server on one line without control characters, so that it cannot look like a line of ours."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
