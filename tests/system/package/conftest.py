"""The packages of this checkout, built once per run of pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.package.packages import commit_to, make_deb

SUITES = ("bookworm", "trixie")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the package of each suite, built by one `make deb`."""
    clone = tmp_path_factory.mktemp("clone")
    commit_to(clone)
    return dict(zip(SUITES, make_deb(clone, *SUITES), strict=True))
