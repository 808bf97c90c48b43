"""Files that an operator names: only regular files are read, and at most a given number of bytes.

Opening a named pipe waits for a writer, and a device may never end: one such file would stop every later reload.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_PEM_FILE = 16 * 1024 * 1024  # bytes; a file with all public CA certificates has less than 1 MiB
_TYPES = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def read_regular(path: str | Path, max_size: int) -> bytes:
    """Return the content of a regular file of at most `max_size` bytes. Symbolic links are followed.

    Raises `OSError`, whose `strerror` states the reason, also if the file has another type or is too large.
    """
    _check_type(Path(path).stat().st_mode)  # before it is opened, because opening some devices has an effect
    # The file may have been replaced since.
    return read_descriptor(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), max_size)


def read_descriptor(number: int, max_size: int) -> bytes:
    """Return the content of an open file, as `read_regular` does, and close the descriptor `number`."""
    try:
        _check_type(os.fstat(number).st_mode)
    except OSError:
        os.close(number)
        raise
    with os.fdopen(number, "rb") as file:
        content = file.read(max_size + 1)
    if len(content) > max_size:
        raise OSError(errno.EFBIG, f"it is larger than {max_size} bytes")
    return content


def _check_type(mode: int) -> None:
    if not stat.S_ISREG(mode):
        file_type = _TYPES.get(stat.S_IFMT(mode), "special file")
        raise OSError(errno.EINVAL, f"it is a {file_type}, and only regular files are read")
