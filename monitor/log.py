"""Format of log lines: logfmt or JSON, with a timestamp, or under journald with a priority instead."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from monitor.errors import describe_exception

# The priorities of sd-daemon(3).
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
_FIELDS = "monitor_fields"


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Return the `extra` argument of a logging call that adds `values` to the line. A value of None is omitted."""
    return {_FIELDS: {name: value for name, value in values.items() if value is not None}}


def configure(level: str, layout: str, *, journald: bool, stream: TextIO | None = None) -> None:
    """Write every log record of `level` and above to `stream` (default: standard error), one line each.

    Under `journald` a line begins with its priority and has no timestamp, because the journal adds one.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(layout, journald=journald))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # debug and info records of libraries are not useful to operators
    logging.getLogger("monitor").setLevel(level.upper())
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # the monitor itself counts and logs late and missed runs


def is_journal(environ: Mapping[str, str]) -> bool:
    """Return whether standard error is connected to systemd's journal, by the test in systemd.exec(5)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # closed, or not a file
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def timestamp(moment: float) -> str:
    """Return Unix seconds as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Formatter(logging.Formatter):
    def __init__(self, layout: str, *, journald: bool) -> None:
        super().__init__()
        self._layout = _json if layout == "json" else _logfmt
        self._journald = journald

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as one line. The text of an exception is omitted, because it may contain a secret."""
        values: dict[str, Any] = {} if self._journald else {"ts": timestamp(record.created)}
        values |= {"level": record.levelname.lower(), "msg": record.getMessage(), **getattr(record, _FIELDS, {})}
        if record.exc_info and record.exc_info[1] is not None:
            values["exception"] = describe_exception(record.exc_info[1])
        line = self._layout(values)
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journald else line


def _logfmt(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_quoted(_plain(value))}" for name, value in values.items())


def _json(values: Mapping[str, object]) -> str:
    plain = {name: value if isinstance(value, bool | int | float) else _plain(value) for name, value in values.items()}
    text = json.dumps(plain, ensure_ascii=False)  # it does not escape control characters beyond ASCII
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    if text and text.isprintable() and not set(text) & set(' "=\\'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else repr(char)[1:-1] for char in escaped) + '"'
