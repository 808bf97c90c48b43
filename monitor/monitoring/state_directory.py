"""The state directory: its locks, and files that are replaced as a whole and never reached through a symbolic link.

A monitor holds an exclusive lock while it runs. A check holds a shared lock only while it saves, so that it never
keeps a monitor from starting; a second lock makes it the only check that saves.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import pwd
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import ConfigError
from monitor.files import read_descriptor

_LOCK, _CHECK_LOCK = "lock", "lock.check"
_LOCK_TIMEOUT = 10.0  # seconds in which a check has to complete a save
_LOCK_RETRY_INTERVAL = 0.02  # seconds
_TEMPORARY = re.compile(r"state\.new|.+\.[0-9a-f]{16}\.new")  # state.new: the name in earlier versions
_NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO does not block the open


class StateDirectory:
    """The directory of one monitor, or of a check if it is `shared`."""

    def __init__(self, path: Path, *, shared: bool) -> None:
        """Raise `ConfigError` if others can write to the directory."""
        self._path = path
        self._shared = shared
        self._claimed: int | None = None  # descriptor of the lock that is held until `close`
        if why := why_unsafe(path):
            remedy = "set it to a directory to which only the monitor can write"
            raise ConfigError((f"TIGR_STATE_DIR: {path}: {why}, and could have the account locked: {remedy}",))

    def claim(self) -> None:
        """Become the only monitor, or the only check, that saves here, until `close`.

        A monitor waits for the save of a check to end. Raises `BlockingIOError` if there is another one, and `OSError`
        if the lock does not work.
        """
        descriptor = self._open_lock(_CHECK_LOCK if self._shared else _LOCK)
        try:
            if self._shared:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                _lock_after_checks(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._claimed = descriptor
        if not self._shared:
            self._remove_temporaries()

    def close(self) -> None:
        """Release the directory."""
        if self._claimed is not None:
            os.close(self._claimed)
            self._claimed = None

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Let a monitor that starts wait during the save of a check. Raises `BlockingIOError` if a monitor runs."""
        with contextlib.ExitStack() as resources:
            if self._shared:
                try:
                    descriptor = self._open_lock(_LOCK)
                    resources.callback(os.close, descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise
                except OSError:  # locks do not work in this directory, as `claim` has reported
                    pass
            yield

    def read(self, name: str, max_size: int) -> bytes:
        """Return the content of a file. Raises `OSError`, also if it is too long or not a regular file."""
        with self._open() as directory:
            return read_descriptor(_open_file(name, os.O_RDONLY, directory), max_size)

    def replace(self, name: str, content: bytes) -> None:
        """Replace a file as a whole; it is on disk when this returns. Raises `OSError`."""
        with self._open() as directory:
            temporary = f"{name}.{secrets.token_hex(8)}.new"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            try:
                with os.fdopen(_open_file(temporary, flags, directory), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=directory)
                raise

    @contextlib.contextmanager
    def _open(self) -> Iterator[int]:
        """Yield a descriptor of the directory, whose own path may be a symbolic link: `DynamicUser=` makes one."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        with self._open() as directory:
            try:
                descriptor = _open_file(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, directory)
            except FileExistsError:
                descriptor = _open_file(name, os.O_RDWR, directory)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "the file of the lock is not a regular file")
        return descriptor

    def _remove_temporaries(self) -> None:
        """Remove the files of saves that a killed process left."""
        with self._open() as directory:
            with os.scandir(directory) as entries:
                names = [entry.name for entry in entries if _TEMPORARY.fullmatch(entry.name)]
            for name in names:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=directory)


def _open_file(name: str, flags: int, directory: int) -> int:
    """Return a descriptor of a file in `directory`; a new one belongs to the owner of the directory.

    If an administrator runs a check as root, the service must still be able to use the files. Raises `OSError`.
    """
    try:
        descriptor = os.open(name, flags | _NO_LINK, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, f"{name} is a symbolic link") from None
        raise
    if flags & os.O_EXCL and os.geteuid() == 0:
        owner = os.fstat(directory)
        with contextlib.suppress(OSError):  # a file system without owners
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _lock_after_checks(descriptor: int) -> None:
    """Take the exclusive lock of a monitor. Raises `BlockingIOError` if a monitor has it, `OSError`."""
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # fails if the holder is a monitor
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        else:
            return
        if time.monotonic() > deadline:
            raise OSError(errno.ETIMEDOUT, "a check has been saving for too long")
        time.sleep(_LOCK_RETRY_INTERVAL)


def why_unsafe(path: Path) -> str:
    """Return who else can write to the directory, as text; empty if only this user, its group without others, or root.

    The volume that Kubernetes prepares for `fsGroup` is accepted with any mode: an `emptyDir` has the mode 2777, and
    only the containers of the pod see it.
    """
    try:
        status = path.stat()
    except OSError:
        return ""  # the first use of the directory reports it
    mode, user = status.st_mode, os.geteuid()
    groups = {os.getegid(), *os.getgroups()}
    if mode & stat.S_ISGID and status.st_gid in groups - {0} and _is_mount_point(path):
        return ""
    if mode & stat.S_IWOTH:
        return "every user can write to the directory"
    if user not in (0, status.st_uid) and status.st_uid != 0:
        return f"the directory belongs to another user ({_user_name(status.st_uid)}), who can write to it"
    if mode & stat.S_IWGRP and (others := _others(status.st_gid, {0, user, status.st_uid})):
        return f"other users of its group ({', '.join(others)}) can write to the directory"
    return ""


def _others(group: int, trusted: set[int]) -> list[str]:
    """Return the names of the users in a group, without the trusted ones. The group of root has none."""
    if group == 0:
        return []
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    names = {name for name, entry in users.items() if entry.pw_gid == group}
    with contextlib.suppress(KeyError):  # a group without a name, as in most containers
        names |= set(grp.getgrgid(group).gr_mem)
    return sorted(name for name in names if name not in users or users[name].pw_uid not in trusted)


def _user_name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _is_mount_point(path: Path) -> bool:
    """Return whether a file system is mounted at `path`.

    `os.path.ismount` does not see a bind mount from the same file system.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_bytes().splitlines()
        wanted = os.fsencode(path.resolve())
    except OSError:
        return False
    for character in b"\\ \t\n":  # the kernel writes these as octal numbers
        wanted = wanted.replace(bytes([character]), b"\\%03o" % character)
    return any(mount.split(b" ")[4] == wanted for mount in mounts)
