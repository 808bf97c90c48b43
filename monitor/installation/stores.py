"""The three ways in which secrets are stored for the service, one file each, named like the variable in lower case."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from monitor.config.schema import SECRETS
from monitor.config.sources import MAX_SECRET_FILE, PREFIX, Key, file_key, file_name
from monitor.errors import InstallationError
from monitor.installation.files import KEPT, sync_directory, write_atomically
from monitor.installation.programs import require, run
from monitor.machine.files import read_regular

CREDENTIAL = PREFIX.lower().rstrip("_")  # the id of LoadCredential=: systemd puts it and `_` before the file's name
GROUP = "tigr-secrets"
_MAX_FILE = 2 * MAX_SECRET_FILE  # bytes: an encrypted value is longer than the value


class Way(StrEnum):
    """The ways of storing secrets, as the operator names them."""

    ROOT_ONLY = "root-only"  # LoadCredential=: systemd copies the files when the service starts
    ENCRYPTED = "encrypted"  # LoadCredentialEncrypted=: the same, of no use on another machine
    GROUP_READABLE = "group-readable"  # TIGR_SECRETS_DIR: a reload rereads the files

    @property
    def description(self) -> str:
        """Return a phrase for the operator."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    Way.ROOT_ONLY: "files that only root can read",
    Way.ENCRYPTED: "encrypted files",
    Way.GROUP_READABLE: "files that a reload rereads",
}


@dataclass(frozen=True, slots=True)
class Store:
    """A directory of secret files."""

    way: Way
    directory: Path
    group: str = GROUP  # of files that the service reads itself

    def prepare(self) -> None:
        """Make the directory with its owner and mode, and remove the rest of an interrupted write.

        Raises `InstallationError`.
        """
        group = self._group_id()
        try:
            self.directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.directory.mkdir(mode=0o700, exist_ok=True)
            os.chown(self.directory, -1, group)
            self.directory.chmod(0o700 if group == KEPT else 0o750)
            for path in self.directory.glob(f".{CREDENTIAL}_*"):
                path.unlink()
        except OSError as error:
            raise InstallationError(f"cannot prepare {self.directory}: {error.strerror}") from None

    def stored(self) -> set[Key]:
        """Return the keys of the secrets that are stored. Raises `InstallationError`."""
        return {key for key, _ in self._files()}

    def read(self, key: Key) -> str:
        """Return a value, without the line feed at its end. Raises `InstallationError`."""
        for each, path in self._files():
            if each == key:
                content = self._decrypted(path) if self.way is Way.ENCRYPTED else _content(path)
                try:
                    return content.decode("utf-8-sig").removesuffix("\n")
                except UnicodeDecodeError:
                    raise InstallationError(f"{path}: is not UTF-8; enter it again") from None
        raise InstallationError(f"{self.path(key)}: does not exist")

    def write(self, key: Key, value: str) -> None:
        """Replace a value, in a file with the name of the scheme. Raises `InstallationError`."""
        path = self.path(key)
        content = value.encode()
        if self.way is Way.ENCRYPTED:
            content = self._encrypted(path, content)
        self._replace(key, {path: content})

    def saved(self, key: Key) -> dict[Path, bytes]:
        """Return the present files of a secret, for `restore`. Raises `InstallationError`."""
        return {path: _content(path) for each, path in self._files() if each == key}

    def restore(self, key: Key, files: dict[Path, bytes]) -> None:
        """Write the files that `saved` returned, and remove any other of this secret. Raises `InstallationError`."""
        self._replace(key, files)

    def remove(self, keys: set[Key]) -> None:
        """Remove the files of these secrets. Raises `InstallationError`."""
        for key in keys:
            self._replace(key, {})

    def path(self, key: Key) -> Path:
        """Return the path of the file with the name of the scheme."""
        return self.directory / file_name(key)

    def _files(self) -> Iterator[tuple[Key, Path]]:
        """Yield the files that the service reads, with their keys."""
        try:
            paths = sorted(self.directory.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            raise InstallationError(f"cannot read {self.directory}: {error.strerror}") from None
        for path in paths:
            key = None if path.name.startswith(".") else file_key(self._name_in_service(path))
            if key is not None and len(key) == 3 and key[0] == "environments" and key[2] in SECRETS:
                yield key, path

    def _replace(self, key: Key, files: dict[Path, bytes]) -> None:
        group = self._group_id()
        try:
            for path, content in files.items():
                write_atomically(path, content, 0o600 if group == KEPT else 0o640, group)
            others = [path for each, path in self._files() if each == key and path not in files]
            for path in others:
                path.unlink(missing_ok=True)
            if others:
                sync_directory(self.directory)
        except OSError as error:
            raise InstallationError(f"cannot write {self.path(key)}: {error.strerror}") from None

    def _name_in_service(self, path: Path) -> str:
        """Return the name of the file that the service reads."""
        return path.name if self.way is Way.GROUP_READABLE else f"{CREDENTIAL}_{path.name}"

    def _encrypted(self, path: Path, content: bytes) -> bytes:
        name = f"--name={self._name_in_service(path)}"
        return require(f"cannot encrypt {path.name}", "systemd-creds", "encrypt", name, "-", "-", data=content).output

    def _decrypted(self, path: Path) -> bytes:
        name = f"--name={self._name_in_service(path)}"
        return require(f"cannot decrypt {path}", "systemd-creds", "decrypt", name, str(path), "-").output

    def _group_id(self) -> int:
        """Return the id of the group that can read the files; `KEPT` if no group can."""
        if self.way is not Way.GROUP_READABLE:
            return KEPT
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise InstallationError(
                f"the group {self.group} does not exist; create it: groupadd --system {self.group}"
            ) from None


def create_group(name: str) -> None:
    """Create the group that can read the files, if it does not exist. Raises `InstallationError`."""
    if run("getent", "group", name).status != 0:
        require(f"cannot create the group {name}", "groupadd", "--system", name)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, _MAX_FILE)
    except OSError as error:
        raise InstallationError(f"{path}: cannot be read: {error.strerror}") from None
