"""Limits of this process: descriptors for many connections, and no core dump, which would contain the secrets."""

from __future__ import annotations

import contextlib
import resource
import sys

MAX_DESCRIPTORS = 4096  # 100 environments whose hosts have many silent addresses, and the connections of the web server
_PR_SET_DUMPABLE = 4  # linux/prctl.h; Python has no function for prctl(2)


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard limit, at most to `MAX_DESCRIPTORS`. A higher limit is kept.

    A login shell and most container runtimes give 1,024 or more than a million.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system call filter; the unit of systemd sets the limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def forbid_core_dumps() -> None:
    """Let no crash of this process write its memory to a file or to a program.

    The limit prevents files. The kernel ignores it for programs (core(5), `core_pattern`), but not the flag, which also
    keeps other processes of the user from reading the memory and the environment of this one (PR_SET_DUMPABLE(2const)).
    Processes may always read their own files in /proc, which the `process_*` metrics need.
    """
    with contextlib.suppress(ValueError, OSError):  # a system call filter; the unit of systemd sets the limit
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # MemoryError: importing ctypes allocates executable memory, which a hardened system may forbid.
        with contextlib.suppress(ImportError, OSError, AttributeError, MemoryError):
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
