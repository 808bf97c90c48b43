"""Bounded reads of regular files: a FIFO or a device could block the reader or never end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_regular(path: Path, max_size: int) -> bytes:
    """Return the content of the file at `path`, at most `max_size` bytes.

    Raises `OSError`, with a text in `strerror` if the file is longer (`EFBIG`) or not a regular file (`EINVAL`).
    """
    return read_descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), max_size)


def read_descriptor(descriptor: int, max_size: int) -> bytes:
    """Return the content of an open file, and close it; see `read_regular`."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise OSError(errno.EFBIG, f"longer than {max_size} bytes")
    return content
