"""The files of a machine, to compare them before an installation and after its removal."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

# Files that change on a machine without the installation, or belong to other programs.
_IGNORED = (
    "etc/group-",  # backups by groupadd and groupdel
    "etc/gshadow-",
    "root",  # the clone, files of these tests, and the cache of pip, which the documentation leaves to the reader
    "tmp",
    "var/cache",
    "var/lib/apt",
    "var/lib/private",  # systemd creates it for the first service with a dynamic user; its content is compared
    "var/lib/prometheus",  # the databases of Prometheus and Alertmanager
    "var/lib/systemd",  # the random seed, time stamps of timers, and the key of systemd-creds
    "var/log",
    "var/tmp",
)


def file_tree(root: Path) -> dict[str, str]:
    """Return the type, mode, owner and content (as a digest) of each file below `root`, by path."""
    tree = {}
    for folder, folders, files in os.walk(root):
        below = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if str(below / name) not in _IGNORED or name == "private"]
        folders[:] = [name for name in folders if name != "__pycache__"]  # written by the first import as root
        for name in (*folders, *files):
            path = below / name
            if str(path) not in _IGNORED:
                tree[str(path)] = _description(root / path)
    return tree


def differences(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the paths that were added, removed or changed."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def _description(path: Path) -> str:
    status = path.lstat()
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid} {content}".strip()
