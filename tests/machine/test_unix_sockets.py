"""Addresses of Unix sockets on real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from monitor.machine.unix_sockets import address_of


def directory_for(parent: Path, length: int) -> Path:
    """Return a directory in which the path of `s` has this number of bytes."""
    path = parent / ("d" * (length - len(os.fsencode(parent)) - len("//s")))
    path.mkdir()
    assert len(os.fsencode(path / "s")) == length
    return path


@pytest.mark.parametrize("length", [107, 108, 200])
def test_a_socket_of_any_path_can_be_bound_and_connected(length: int, tmp_path: Path) -> None:
    """The kernel's limit is 107 bytes; a longer path is reached through a descriptor, which is closed afterwards."""
    path = directory_for(tmp_path, length) / "s"
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number of descriptors
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        with address_of(path) as address:
            assert (address == str(path)) == (length <= 107)
            server.bind(address)
        server.listen()
        assert path.is_socket()
        with address_of(path) as address:
            client.connect(address)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_missing_directory_is_an_error_of_the_system(tmp_path: Path) -> None:
    """A long path in a missing directory raises the same exception as a short one."""
    with pytest.raises(FileNotFoundError), address_of(tmp_path / ("d" * 100) / "s"):
        pass
