"""Lack of descriptors, memory or threads on this machine: its detection, so that no failure of ours is the vendor's."""

from __future__ import annotations

import errno
import mmap
import os

_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_MIN_PIPES = 2  # four descriptors: a lookup may have a configuration file and sockets to several servers open at once
# Bytes, two stacks of threads. A thread without room for a heap of its own takes a page per object, thus megabytes.
_MIN_HEAP = 16 * 2**20
DESCRIPTOR_LIMIT = "this machine has no free file descriptor for the monitor"
HEAP_LIMIT = "this machine has no free memory for the monitor"
THREAD_LIMIT = "this machine starts no further thread for the monitor"
_TEXTS = {
    errno.EMFILE: DESCRIPTOR_LIMIT,
    errno.ENFILE: DESCRIPTOR_LIMIT,
    errno.ENOMEM: HEAP_LIMIT,
    errno.ENOBUFS: HEAP_LIMIT,
}


class LocalLimitError(OSError):
    """A limit of this machine was reached. The message names it."""


def local_limit(error: BaseException) -> str | None:
    """Return the limit of this machine that caused `error`, as text; None if the cause is another one."""
    if isinstance(error, LocalLimitError):
        return str(error)
    if isinstance(error, MemoryError):
        return HEAP_LIMIT
    if isinstance(error, RuntimeError):  # CPython has no type of its own for this
        return THREAD_LIMIT if "start new thread" in str(error) else None
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return _TEXTS[error.errno]
    return None


def has_free_descriptors() -> bool:
    """Return whether this process can open a few more descriptors.

    For failures of functions that hide their cause: `getaddrinfo` without a free descriptor reports an unknown name.
    """
    opened: list[int] = []
    try:
        for _ in range(_MIN_PIPES):
            opened += os.pipe()
    except OSError:
        return False
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return True


def has_free_heap() -> bool:
    """Return whether this process can get more memory.

    For failures of functions that hide their cause: without memory for the key of a certificate, OpenSSL reports that
    the key is too weak.
    """
    try:
        mmap.mmap(-1, _MIN_HEAP).close()
    except OSError:
        return False
    return True
