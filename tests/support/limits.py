"""Real limits of a process: file descriptors and address space that are used up."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.checkout import ROOT


@contextmanager
def free_descriptors(count: int) -> Iterator[None]:
    """Leave `count` free file descriptors in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 64, hard))
    held = []
    try:
        while True:
            try:
                held.append(os.dup(0))
            except OSError:
                break
        for _ in range(count):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_threads() -> Iterator[None]:
    """Leave too little address space for the stack of another thread, but enough for small objects.

    Use it in a process of its own (`run_alone`): pytest has threads, too, which would fail without memory.

    The C library keeps the stacks of ended threads, 40 MiB at most, so a thread gets a larger one here.
    """
    size = threading.stack_size(64 * 2**20)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**21, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        threading.stack_size(size)


def run_alone(function: Callable[[], None]) -> None:
    """Run a function of a test module in a new process, and fail with its traceback if it fails."""
    code = f"from {function.__module__} import {function.__name__} as function; function()"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
