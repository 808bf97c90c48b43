"""The command in the process of the test, which saves the start of an interpreter: half a second of processor time.

A test whose subject is the process (its standard streams, signals, locale or limits) uses `tests.support.process.run`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from unittest import mock

from monitor import cli, log
from monitor.commands import own_check
from monitor.service import process_limits
from tests.support.process import clean

_LOGGERS = ("", "monitor", "apscheduler", "asyncio")  # those that `log.configure` changes


def call(arguments: list[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command with these variables, but not the daemon; its output is in UTF-8, and no terminal."""
    assert arguments != ["run"], "the daemon changes its process"
    output, error = _stream(), _stream()
    with (
        mock.patch.dict(os.environ, clean(environ), clear=True),
        mock.patch.object(own_check, "forbid_core_dumps"),  # it would change the process of the tests
        mock.patch.object(process_limits, "forbid_core_dumps"),
        _unchanged_log(),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(error),
    ):
        try:
            status = cli.main(arguments)
        except SystemExit as ended:  # argparse
            status = ended.code if isinstance(ended.code, int) else 1
    return subprocess.CompletedProcess(arguments, status, _text(output), _text(error))


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@contextlib.contextmanager
def _unchanged_log() -> Iterator[None]:
    """Restore what `log.configure` changes."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels, handlers = [logger.level for logger in loggers], logging.getLogger().handlers[:]
    with (
        mock.patch.object(log, "_formatter", log._formatter),
        mock.patch.object(sys, "excepthook", sys.excepthook),
        mock.patch.object(sys, "unraisablehook", sys.unraisablehook),
        mock.patch.object(threading, "excepthook", threading.excepthook),
        mock.patch.object(warnings, "showwarning", warnings.showwarning),
    ):
        try:
            yield
        finally:
            logging.getLogger().handlers[:] = handlers
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
