"""SHA256SUMS covers every file in dist/."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from release import checksums

pytestmark = pytest.mark.once

NAMES = ("tigr_monitor-7.0.1.tar.gz", "tigr-monitor-7.0.1.cdx.json", "tigr-monitor_7.0.1+deb13_amd64.deb")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with the files of a release and their checksums."""
    for name in NAMES:
        (tmp_path / name).write_text(name)
    checksums.write(tmp_path)
    return tmp_path


def check(directory: Path) -> subprocess.CompletedProcess[str]:
    """Verify the checksums as a user does."""
    command = ["sha256sum", "--check", "--strict", checksums.FILE]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_sha256sum_accepts_every_file(directory: Path) -> None:
    """Every file is checked, the Debian packages too, but neither the checksums nor their signature."""
    done = check(directory)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{name}: OK" for name in sorted(NAMES)]
    before = (directory / checksums.FILE).read_bytes()
    (directory / f"{checksums.FILE}.sig").write_text("a signature")
    assert checksums.write(directory).read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_sha256sum_refuses_a_changed_file(directory: Path, name: str) -> None:
    """A change of any file is detected."""
    (directory / name).write_text("x")
    assert check(directory).returncode == 1
