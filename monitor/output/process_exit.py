"""The exit of a process whose daemon threads still run."""

from __future__ import annotations

import atexit
import contextlib
import os
from typing import NoReturn


def end_process(status: int) -> NoReturn:
    """Call the functions that are registered with `atexit`, then end the process with `status`.

    The usual exit finalizes the interpreter while daemon threads still run. A thread that then returns from an
    extension module can abort the process, crash it or block its exit: with 40 environments and a reload in progress,
    that was seen at one of six exits.
    """
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 - there is no public function
    os._exit(status)
