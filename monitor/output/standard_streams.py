"""The standard streams of a command: closed descriptors, output that cannot be written, other locales."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

_STANDARD_DESCRIPTORS = (0, 1, 2)
_OUTPUT_DESCRIPTORS = (1, 2)


class OutputError(Exception):
    """Standard output cannot be written. The message is the reason, for the operator."""


def prepare() -> None:
    """Open closed standard descriptors on /dev/null, and replace characters that the locale cannot encode.

    Otherwise the next file or socket of the process gets the number of standard error, and every line of the log is
    written into it.
    """
    for descriptor in _STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):  # without /dev/null the descriptor stays closed
                opened = os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one
                os.set_inheritable(opened, True)  # noqa: FBT003
    if sys.stderr is None:  # Python's value for a descriptor that was closed at its start
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the exit
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def require_output() -> None:
    """Raise `OutputError` if standard output is closed, so that nothing is done in vain."""
    if sys.stdout is None:
        raise OutputError("it is closed")


def print_line(text: str) -> bool:
    """Print `text` on standard output; return False if the reader of a pipe has left, which is no error.

    Raises `OutputError` if standard output is closed, full or not writable.
    """
    require_output()
    try:
        print(text, flush=True)  # noqa: T201 - output of a command
    except BrokenPipeError:
        discard(sys.stdout)
        return False
    except OSError as error:
        discard(sys.stdout)
        raise OutputError(error.strerror or type(error).__name__) from None
    return True


def flush_output() -> None:
    """Write output that is still in a buffer. Raises `OutputError` as `print_line` does."""
    require_output()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
    except OSError as error:
        discard(sys.stdout)
        raise OutputError(error.strerror or type(error).__name__) from None


def flush_error() -> None:
    """Write error messages that are still in a buffer. A failure is ignored, as in `print_error`."""
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        discard(sys.stderr)


def print_error(text: str) -> None:
    """Print `text` on standard error. A failure is ignored, because no other place could report it."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - output of a command
    except (OSError, ValueError):  # ValueError: a library has closed the stream
        discard(sys.stderr)


def discard_streams() -> None:
    """Discard the output that an interrupt has kept from being written."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            discard(stream)


def discard(stream: TextIO) -> None:
    """Connect `stream` to /dev/null.

    Otherwise Python writes its buffer once more at the exit, which may block, print an error and change the status.
    """
    with suppress(OSError, ValueError):  # ValueError: it has no descriptor, or is closed
        _connect_to_null(stream.fileno())


def close_output() -> None:
    """Connect the descriptors of standard output and standard error to /dev/null."""
    for descriptor in _OUTPUT_DESCRIPTORS:
        with suppress(OSError):
            _connect_to_null(descriptor)


def _connect_to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
