"""Atomic replacement of files, and the lock of the commands."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from monitor.errors import InstallationError
from monitor.installation.files import exclusive, write_atomically


def test_a_file_has_its_mode_and_content(tmp_path: Path) -> None:
    """The mode does not depend on the umask or on the old file."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    before = os.umask(0o077)
    try:
        write_atomically(path, b"new", 0o640)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["fchown", "fchmod", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_failed_write_leaves_the_old_file(
    name: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt at any point leaves the old content, and no other file."""

    def fail(*_: object) -> None:
        raise error

    path = tmp_path / "file"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, name, fail)
        with pytest.raises(type(error)):
            write_atomically(path, b"new", 0o600)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_only_one_process_has_the_lock(tmp_path: Path) -> None:
    """A second one gets an error that names the directory; after the end of the first one, it gets the lock."""
    directory = tmp_path / "new" / "directory"
    message = r"another setup or set-secret uses .*directory; wait"
    with exclusive(directory), pytest.raises(InstallationError, match=message), exclusive(directory):
        pass
    with exclusive(directory):
        pass


def test_a_file_instead_of_a_directory_is_an_error(tmp_path: Path) -> None:
    """The message has the reason."""
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InstallationError, match="cannot open"), exclusive(path):
        pass
