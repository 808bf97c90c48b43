"""A short soak test: the resources of the daemon do not grow, and no run is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import Figures, ResourceSample, soak


@pytest.mark.system
@pytest.mark.timeout(900)  # the number of exchanges is fixed, and a busy machine makes few per second
def test_resources_do_not_grow_and_no_run_is_lost(tmp_path: Path) -> None:
    """Memory, files and threads at 4,500 exchanges are within the bounds around those at 2,500."""
    figures = soak(exchanges=4_500, settled_after=2_500, directory=tmp_path)
    assert figures.complaints() == []


def test_growth_in_every_part_is_reported() -> None:
    """A leak is reported; one step, as a busy machine causes it, is not."""

    def complaints(*mebibytes: float, exchanges: int = 0) -> list[str]:
        samples = tuple(
            ResourceSample(exchanges * part, int(each * 1024 * 1024), files=9, threads=3)
            for part, each in enumerate(mebibytes)
        )
        return Figures(0, 0.0, samples, runs_due=0, runs_counted=0).complaints()

    assert complaints(50, 50.5, 51, 51.5) == ["resident memory grew in every part: by [524288, 524288, 524288] bytes"]
    assert complaints(50, 53, 53.1, 53) == []
    assert complaints(50, 50.7, 51.4, 52.1, exchanges=30_000) == []  # the history is not full yet
    assert complaints(50, 51.5, 53, 54.5, exchanges=30_000) != []  # 50 bytes are lost per exchange
