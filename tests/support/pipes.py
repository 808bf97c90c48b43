"""Pipes that nothing reads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

FILLER = b"."


def fill(descriptor: int) -> None:
    """Write to a pipe until it is full."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, FILLER * 65536)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(descriptor, FILLER)
    os.set_blocking(descriptor, True)


@contextlib.contextmanager
def pipe(*, full: bool = False) -> Iterator[tuple[int, int]]:
    """Yield the ends of a pipe, reading end first, and close those that are still open."""
    ends = os.pipe()
    if full:
        fill(ends[1])
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


class PipeReader:
    """Reads lines from a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = b""

    def text(self) -> str:
        """Return all text that was in the pipe until now, without the filler."""
        os.set_blocking(self._descriptor, False)
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._descriptor, 65536):
                self._data += piece
        return self._data.lstrip(FILLER).decode()
