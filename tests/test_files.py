"""Bounded reads of regular files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from monitor.files import read_regular


def test_a_regular_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    """A longer file is an error; a symbolic link is followed, because Kubernetes mounts secrets as links."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(path)
    assert read_regular(path, 5) == read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes") as caught:
        read_regular(path, 4)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("name", ["fifo", "directory", "device"])
def test_another_file_is_an_error_at_once(name: str, tmp_path: Path) -> None:
    """A FIFO without a writer, a directory and an endless device are not read."""
    path = tmp_path / name
    if name == "fifo":
        os.mkfifo(path)
    elif name == "directory":
        path.mkdir()
    else:
        path = Path("/dev/zero")
    with pytest.raises(OSError, match="not a regular file"):
        read_regular(path, 5)
