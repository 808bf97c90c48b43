"""Messages that Python or a library would print on standard error, as log records without the text of exceptions."""

from __future__ import annotations

import io
import logging
import sys
import threading
import types
import warnings
from contextlib import suppress
from typing import TextIO

from monitor.errors import describe_exception, describe_place

_MAX_REPORTED = 100  # places whose output is reported
_log = logging.getLogger(__name__)


def install() -> None:
    """Log uncaught exceptions, exceptions that cannot be raised, and warnings.

    The text of a warning is omitted as that of an exception is: pydantic, for example, quotes the value.
    """
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.showwarning = _warned


def replace_streams() -> None:
    """Discard and report all text for standard output and standard error, because each write to them may block."""
    sys.stdout = sys.__stdout__ = DiscardedOutput("standard output")  # type: ignore[misc,assignment] # Final
    sys.stderr = sys.__stderr__ = DiscardedOutput("standard error")  # type: ignore[misc,assignment] # as above


def _uncaught(_kind: type[BaseException], error: BaseException, _trace: types.TracebackType | None) -> None:
    # If a hook raises, Python prints both exceptions with their texts.
    with suppress(Exception):
        _log.error("uncaught exception: %s", describe_exception(error))


def _uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    with suppress(Exception):
        if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
            name = arguments.thread.name if arguments.thread else "unknown"
            _log.error("uncaught exception in thread %s: %s", name, describe_exception(arguments.exc_value))


def _unraisable(arguments: sys.UnraisableHookArgs) -> None:
    with suppress(Exception):
        if arguments.exc_value is not None:
            fault = describe_exception(arguments.exc_value)
            _log.error("ignored exception in a finalizer or callback: %s", fault)


def _warned(  # noqa: PLR0913, PLR0917 - the signature of `warnings.showwarning`
    message: Warning | str,  # noqa: ARG001
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    with suppress(Exception):
        _log.warning("%s at %s", category.__name__, describe_place(filename, lineno))


class DiscardedOutput(io.TextIOBase):
    """A text stream that discards its text, which may contain a secret, and logs once per place that it was written."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._reported: set[str] = set()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Discard `text` and return its length."""
        with suppress(Exception):
            frame = sys._getframe(1)  # noqa: SLF001 - `inspect` reads source files
            source = describe_place(frame.f_code.co_filename, frame.f_lineno)
            if text.strip() and source not in self._reported and len(self._reported) < _MAX_REPORTED:
                self._reported.add(source)
                _log.warning("unexpected output on %s was discarded: it came from %s", self._name, source)
        return len(text)
