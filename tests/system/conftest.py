"""Fixtures for one run of pytest: programs of three Debian releases, roots of two, and the packages for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.system.package.packages import SUITES, commit_to, make_deb
from tests.system.prometheus.versions import INSTALLED, RELEASES, UnreachableError, programs
from tests.system.systemd.roots import Roots


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one Debian release."""

    release: str
    directory: Path | None  # None: the installed ones

    def path(self, name: str) -> str:
        """Return the command of a program."""
        return str(self.directory / name) if self.directory else name


@dataclass(slots=True)
class _Downloads:
    """The packages of other releases, each downloaded once per run of pytest."""

    make_directory: Callable[[str], Path]
    known: dict[str, Path | str] = field(default_factory=dict)

    def get(self, release: str) -> Programs:
        """Return the programs of a release; skip the test if they cannot be downloaded."""
        if release not in self.known:
            try:
                self.known[release] = programs(self.make_directory(release), release)
            except UnreachableError as error:
                self.known[release] = str(error)
        result = self.known[release]
        if isinstance(result, str):
            pytest.skip(f"apt-get cannot get the Prometheus of Debian {release}: {result}")
        return Programs(release, result)


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> _Downloads:
    """Return the downloads of this run."""
    return _Downloads(tmp_path_factory.mktemp)


@pytest.fixture(scope="session", params=[INSTALLED, *RELEASES])
def programs_of_debian(request: pytest.FixtureRequest, downloads: _Downloads) -> Programs:
    """Return the programs of Debian 12, 13 and testing, one after the other."""
    return Programs(INSTALLED, None) if request.param == INSTALLED else downloads.get(request.param)


@pytest.fixture(scope="session")
def programs_of_testing(downloads: _Downloads) -> Programs:
    """Return the programs of Debian testing, whose Prometheus is version 3."""
    return downloads.get("testing")


@pytest.fixture(scope="session")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roots]:
    """Yield the roots of the Debian releases, from which machines boot."""
    roots = Roots(tmp_path_factory.mktemp)
    yield roots
    roots.remove()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the package of each suite, built by one `make deb`."""
    clone = tmp_path_factory.mktemp("clone")
    commit_to(clone)
    return dict(zip(SUITES, make_deb(clone, *SUITES), strict=True))
