"""Files that are replaced as a whole: an interruption at any point leaves the old or the new content."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import InstallationError

KEPT = -1  # the group of a new file is the group of this process: chown(2)


def write_atomically(path: Path, content: bytes, mode: int, group: int = KEPT) -> None:
    """Write a file with this mode and group; its temporary file begins with a dot. Raises `OSError`."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)  # after chown, which clears bits
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:  # Ctrl-C included
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Write the names in a directory to the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Make a directory if it is missing, and lock it: two changes at the same time would mix.

    Raises `InstallationError` if another process has the lock.
    """
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InstallationError(f"cannot open {directory}: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another setup or set-secret uses {directory}; wait for its end, then repeat the command"
            raise InstallationError(message) from None
        yield
    finally:
        os.close(descriptor)
