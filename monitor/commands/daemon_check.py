"""A check through the daemon on this machine, over its control socket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from monitor.commands.connection import DaemonConnection
from monitor.errors import DaemonError
from monitor.reporting.check_events import CheckError, CheckEvent

# Seconds without an event: a phase takes at most TIGR_TIMEOUT, and a login or a ping of the daemon may come first.
_EVENT_TIMEOUT = 600.0


def daemon_check(option: str | None, names: Sequence[str], *, ping_only: bool) -> Iterator[CheckEvent]:
    """Let the daemon run a check and return its events; `option` is the value of `--socket`.

    Raises `NoDaemonError` if no daemon runs, `DaemonError` if it cannot be used or does not respond, and `CheckError`
    if a name is unknown.
    """
    connection = DaemonConnection(option)
    body = json.dumps({"names": list(names), "ping_only": ping_only}).encode()
    status, chunks = connection.request("POST", "/check", body)
    if status == 200:
        connection.wait_at_most(_EVENT_TIMEOUT)
        return _events(chunks)
    text = b"".join(chunks).decode(errors="replace").strip() or f"status {status}"
    if status == 400:
        raise CheckError(text)
    if status == 404:
        raise DaemonError("the running monitor cannot check: its version is another one; restart it", exit_status=1)
    raise DaemonError(f"the monitor does not check: {text}", exit_status=1)


def _events(chunks: Iterable[bytes]) -> Iterator[CheckEvent]:
    incomplete = b""
    for chunk in chunks:
        *lines, incomplete = (incomplete + chunk).split(b"\n")
        yield from map(_event, lines)


def _event(line: bytes) -> CheckEvent:
    """Return the event in a line. The daemon has the same version, so only its type is looked at."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "event" not in event:
        raise DaemonError(
            "the monitor does not respond as expected: restart it, its version is another one", exit_status=1
        )
    return cast("CheckEvent", event)
