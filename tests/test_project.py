"""The files around the program are consistent: pins, versions, changelog, skipped tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.checkout import ROOT, tracked

pytestmark = pytest.mark.once

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
SETS = sorted((ROOT / "requirements").glob("*.txt"))
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9A-Za-z.]*)")

each_set = pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)


def entries(path: Path) -> list[str]:
    """Return the logical lines of a requirements file without comments."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def pins(name: str) -> dict[str, Version]:
    """Return the version of each package that a requirements file pins."""
    matches = (PIN.match(entry) for entry in entries(ROOT / "requirements" / name))
    return {pin["name"]: Version(pin["version"]) for pin in matches if pin}


def wanted(*extras: str) -> list[Requirement]:
    """Return the requirements of pyproject.toml, including these extras."""
    optional = (dependency for extra in extras for dependency in PROJECT["optional-dependencies"][extra])
    return [Requirement(dependency) for dependency in [*PROJECT["dependencies"], *optional]]


def test_there_is_a_set_for_every_purpose() -> None:
    """The requirements files are exactly those that the Makefile and the images install."""
    assert [path.stem for path in SETS] == [
        "bench",
        "build",
        "deb",
        "demo",
        "dev",
        "interface",
        "lowest",
        "runtime",
        "servers",
        "setuptools",
    ]


@each_set
def test_every_requirement_is_one_version_with_a_hash(path: Path) -> None:
    """Every entry pins one version and has at least one hash."""
    for entry in entries(path):
        pin, *rest = entry.split()
        assert PIN.fullmatch(pin), entry
        assert rest, entry
        assert all(HASH.fullmatch(part) for part in rest), entry


@each_set
def test_no_requirements_file_names_a_registry(path: Path) -> None:
    """No requirements file contains a URL, a registry, a path or an option that selects them."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|\bindex\b|--extra-|--find-links|--trusted-host|(^|\s)/\w|\.(org|com|net|io)\b", text)


@pytest.mark.parametrize(
    "name,extras",
    [
        ("runtime.txt", ()),
        ("bench.txt", ("bench",)),
        ("demo.txt", ("demo",)),
        ("dev.txt", ("demo", "test", "dev")),
        ("lowest.txt", ("demo", "test")),
    ],
)
def test_a_set_satisfies_the_requirements_of_pyproject(name: str, extras: tuple[str, ...]) -> None:
    """Every requirement of pyproject.toml is pinned to an allowed version."""
    installed = pins(name)
    for requirement in wanted(*extras):
        pinned = installed.get(canonicalize_name(requirement.name))
        assert pinned, f"{name} lacks {requirement}: run make lock"
        assert pinned in requirement.specifier, f"{name} has {pinned} for {requirement}: run make lock"


@pytest.mark.parametrize("name", ["runtime.txt", "demo.txt", "build.txt"])
def test_the_sets_agree(name: str) -> None:
    """Every version in production is the version in dev.txt, with which the tests run."""
    assert pins(name).items() <= pins("dev.txt").items()


def test_the_lowest_set_pins_the_lower_bounds() -> None:
    """`make test-lowest` runs with exactly the lower bounds of pyproject.toml."""
    lowest = pins("lowest.txt")
    for requirement in wanted("demo"):
        bounds = [Version(bound.version) for bound in requirement.specifier if bound.operator == ">="]
        assert bounds == [lowest[canonicalize_name(requirement.name)]], f"{requirement}: run make lock"


def test_the_daemon_does_not_load_a_terminal_toolkit() -> None:
    """The client library, httpx, imports its own command, and so megabytes, where all three of these are installed."""
    assert not {"click", "pygments", "rich"} <= pins("runtime.txt").keys()


def test_the_installed_version_is_pyprojects() -> None:
    """The installed version, which `--version` and the User-Agent show, is that of pyproject.toml."""
    assert version("tigr-monitor") == PROJECT["version"]


def test_the_changelog_contains_the_version() -> None:
    """The newest section of the changelog is that of the current version or of unreleased changes."""
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {PROJECT["version"], "Unreleased"} & set(headings[:2])


def run_tests(directory: Path, *, no_skip: bool) -> str:
    """Run tests that skip themselves with the conftest.py of the project; return the output of pytest."""
    shutil.copy(ROOT / "tests" / "conftest.py", directory)
    (directory / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["needs(*programs)"]\n', encoding="utf-8"
    )
    (directory / "test_skipping.py").write_text(
        """
import pytest

@pytest.mark.needs("sh", "tigr-no-such-program")
def test_needs_a_program_that_is_missing(): pass

@pytest.mark.needs("sh")
def test_needs_a_program_that_is_there(): pass

@pytest.mark.xfail
def test_is_known_to_fail(): assert False
""",
        encoding="utf-8",
    )
    (directory / "test_skipped_whole.py").write_text(
        "import pytest\npytest.skip('not on this system', allow_module_level=True)\n", encoding="utf-8"
    )
    environ = {**os.environ, "NO_SKIP": "1" if no_skip else ""}
    command = [sys.executable, "-m", "pytest", "-ra", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False, timeout=200)
    return done.stdout


def test_a_missing_program_skips_the_test_and_is_named(tmp_path: Path) -> None:
    """Without NO_SKIP, pytest skips tests of missing programs and reports the programs."""
    output = run_tests(tmp_path, no_skip=False)
    assert "1 passed, 2 skipped, 1 xfailed" in output
    assert "not installed: tigr-no-such-program\n" in output


def test_skips_are_errors_with_no_skip(tmp_path: Path) -> None:
    """With NO_SKIP=1, a skipped test or file is an error; an expected failure is not."""
    output = run_tests(tmp_path, no_skip=True)
    assert "1 passed, 1 xfailed, 2 errors" in output
    assert "NO_SKIP=1: Skipped: not installed: tigr-no-such-program" in output
    assert "NO_SKIP=1: Skipped: not on this system" in output


def test_an_image_contains_every_module_of_the_checkout() -> None:
    """The patterns in .dockerignore select every tracked file of `monitor` and no other file of it."""
    first, *patterns = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    assert all(line.startswith("!") for line in patterns)
    assert not [line for line in patterns if "**" in line]  # buildah does not enter a folder that no pattern names
    seen = {str(path.relative_to(ROOT)) for line in patterns for path in ROOT.glob(line[1:])}
    wanted = tracked("monitor") | {"LICENSE", "README.md", "THIRD-PARTY.txt", "pyproject.toml"}
    assert {name for name in seen if not name.startswith("requirements/")} == wanted


def test_few_modules_stand_outside_the_packages() -> None:
    """At most eleven modules are in `monitor` itself."""
    assert len([name for name in tracked("monitor") if name.count("/") == 1 and name.endswith(".py")]) <= 11
