"""The log on standard error: logfmt or JSON, with a timestamp, or under journald with a priority instead."""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from monitor.errors import describe_exception, describe_place
from monitor.output import interpreter_hooks, standard_streams
from monitor.output.queued_writer import QueuedWriter

# The priorities of sd-daemon(3).
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
_FIELDS = "monitor_fields"
_STANDARD_ERROR = 2
_FLUSH_TIMEOUT = 1.0  # seconds that the exit waits for queued lines
_MAX_LINE = 8192  # characters; if a line is longer, the lower limit of its values applies
_MAX_VALUE, _MAX_VALUE_IN_LONG_LINE = 4096, 64  # characters


# As the root logger, both belong to the process.
_writer: QueuedWriter | None = None
_formatter: logging.Formatter = logging.Formatter()


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Return the `extra` argument of a logging call that adds `values` to the line. A value of None is omitted."""
    return {_FIELDS: {name: value for name, value in values.items() if value is not None}}


def start_writer() -> None:
    """Write the log and the messages of Python from a thread of their own, so that standard error blocks nothing else.

    From now on all text for `sys.stdout` and `sys.stderr` is discarded and reported. At the exit of the process, the
    queued lines have one second to be written.
    """
    global _writer  # noqa: PLW0603
    _writer = QueuedWriter(_STANDARD_ERROR, _dropped_line)
    atexit.register(_stop_writer, _writer)
    interpreter_hooks.replace_streams()


def _stop_writer(writer: QueuedWriter) -> None:
    writer.flush(_FLUSH_TIMEOUT)
    # Finalizers still run, after Python has restored its own hooks and streams. The writer has its own descriptor.
    standard_streams.close_output()


def dropped() -> int:
    """Return the number of log records that could not be written."""
    return _writer.dropped if _writer else 0


def print_error(text: str) -> None:
    """Print `text` on standard error, by the writer if it was started."""
    if _writer:
        _writer.put(_encoded(text))
    else:
        standard_streams.print_error(text)


def configure(level: str, layout: str, *, journald: bool) -> None:
    """Write every log record of `level` and above to standard error, one line each, also exceptions and warnings.

    Under `journald` a line begins with its priority and has no timestamp, because the journal adds one.
    """
    global _formatter  # noqa: PLW0603
    interpreter_hooks.install()
    _formatter = _Formatter(layout, journald=journald)
    root = logging.getLogger()
    root.handlers[:] = [_Handler()]
    root.setLevel(logging.WARNING)  # debug and info records of libraries are not useful to operators
    logging.getLogger("monitor").setLevel(level.upper())
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # the monitor itself counts and logs late and missed runs
    # It warns of each write to a connection that a client has closed, without the client and without a remedy.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def is_journal(environ: Mapping[str, str]) -> bool:
    """Return whether standard error is connected to systemd's journal, by the test in systemd.exec(5)."""
    try:
        status = os.fstat(_STANDARD_ERROR)
    except OSError:  # closed
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def timestamp(moment: float) -> str:
    """Return Unix seconds as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Queue or print `record`. If it cannot be formatted, a line with its place in the source replaces it."""
        print_error(_line(record))


def _line(record: logging.LogRecord) -> str:
    try:
        return _formatter.format(record)
    except Exception as error:  # noqa: BLE001 - any exception of an argument or of its `__str__`
        source, fault = describe_place(record.pathname, record.lineno), describe_exception(error)
        return _formatter.format(_own_record(record.levelno, "cannot format a log record", at=source, fault=fault))


def _own_record(level: int, message: str, **values: object) -> logging.LogRecord:
    record = logging.LogRecord(__name__, level, __file__, 0, message, None, None)
    vars(record).update(fields(**values))
    return record


def _dropped_line(count: int) -> bytes:
    """Return the line about `count` lost records, in the current layout."""
    text = "log records were dropped because standard error did not accept them"
    return _encoded(_formatter.format(_own_record(logging.WARNING, text, count=count)))


def _encoded(text: str) -> bytes:
    return f"{text}\n".encode(errors="backslashreplace")


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
        line = self._layout(_limited(values, _MAX_VALUE))
        if len(line) > _MAX_LINE:
            line = self._layout(_limited(values, _MAX_VALUE_IN_LONG_LINE))
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" if self._journald else line


def _limited(values: Mapping[str, object], limit: int) -> dict[str, object]:
    """Return `values` with finite numbers as they are, and texts of at most `limit` characters.

    JSON has no infinity and no NaN (RFC 8259 section 6), so they become text.
    """
    return {name: value if _is_number(value) else _cut(str(value), limit) for name, value in values.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _logfmt(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_quoted(_plain(value))}" for name, value in values.items())


def _json(values: Mapping[str, object]) -> str:
    text = json.dumps(values, ensure_ascii=False)  # it does not escape control characters beyond ASCII
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
