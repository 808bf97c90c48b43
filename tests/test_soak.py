"""A short soak test: the resources of the daemon do not grow, and no run is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import soak


@pytest.mark.system
@pytest.mark.timeout(300)
def test_resources_do_not_grow_and_no_run_is_lost(tmp_path: Path) -> None:
    """Memory, files and threads after 4,500 exchanges are within the bounds around those after 2,500."""
    figures = soak(exchanges=4_500, settled_after=2_500, directory=tmp_path)
    assert figures.complaints() == []
