"""A short soak: what the daemon holds levels off, and no turn is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import soak


@pytest.mark.system
@pytest.mark.timeout(300)
def test_memory_files_and_threads_level_off(tmp_path: Path) -> None:
    """After some thousand exchanges, half of them before it is looked at for the first time."""
    figures = soak(exchanges=4_500, settled_after=2_500, directory=tmp_path)
    assert figures.complaints() == []
