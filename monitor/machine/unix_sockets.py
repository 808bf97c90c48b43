"""Addresses of Unix sockets, also of those whose path is longer than the kernel allows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_MAX_PATH = 107  # bytes, unix(7): `sun_path` has 108 with the terminating NUL


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """Yield the address for `bind` and `connect` of the socket at `path`.

    A path that is too long is reached through a descriptor of its directory. Raises `OSError` if the directory cannot
    be opened.
    """
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
