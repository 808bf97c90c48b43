"""The files around the program agree with each other: pins, versions, changelog, and what a skip means."""

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

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
SETS = sorted((ROOT / "requirements").glob("*.txt"))
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9A-Za-z.]*)")

each_set = pytest.mark.parametrize("path", SETS, ids=lambda path: path.name)


def entries(path: Path) -> list[str]:
    """The logical lines of a requirements file, without comments."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def pins(name: str) -> dict[str, Version]:
    """What a requirements file installs."""
    found = (PIN.match(entry) for entry in entries(ROOT / "requirements" / name))
    return {pin["name"]: Version(pin["version"]) for pin in found if pin}


def wanted(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for, by itself and for these extras."""
    optional = (dependency for extra in extras for dependency in PROJECT["optional-dependencies"][extra])
    return [Requirement(dependency) for dependency in [*PROJECT["dependencies"], *optional]]


def test_there_is_a_set_for_every_purpose() -> None:
    """The Makefile and the images install these by name."""
    assert [path.stem for path in SETS] == ["bench", "build", "demo", "dev", "lowest", "runtime", "servers"]


@each_set
def test_every_requirement_is_one_version_with_a_hash(path: Path) -> None:
    """What is installed is what was looked at, whoever serves it."""
    for entry in entries(path):
        pin, *rest = entry.split()
        assert PIN.fullmatch(pin), entry
        assert rest, entry
        assert all(HASH.fullmatch(part) for part in rest), entry


@each_set
def test_no_requirement_says_where_to_get_it(path: Path) -> None:
    """Which registry or directory packages come from is the machine's business; no file names one."""
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
def test_a_set_holds_what_pyproject_asks_for(name: str, extras: tuple[str, ...]) -> None:
    """A dependency that is new, or has new bounds, takes a `make lock`."""
    installed = pins(name)
    for requirement in wanted(*extras):
        pinned = installed.get(canonicalize_name(requirement.name))
        assert pinned, f"{name} lacks {requirement}: run make lock"
        assert pinned in requirement.specifier, f"{name} has {pinned} for {requirement}: run make lock"


@pytest.mark.parametrize("name", ["runtime.txt", "demo.txt", "build.txt"])
def test_the_sets_agree(name: str) -> None:
    """What is run in production is what was tested: every version is the one of dev.txt."""
    assert pins(name).items() <= pins("dev.txt").items()


def test_the_lowest_set_is_the_lower_bounds() -> None:
    """What is said to be enough is what was tested: `make test-lowest` runs with exactly these."""
    lowest = pins("lowest.txt")
    for requirement in wanted("demo"):
        bounds = [Version(bound.version) for bound in requirement.specifier if bound.operator == ">="]
        assert bounds == [lowest[canonicalize_name(requirement.name)]], f"{requirement}: run make lock"


def test_the_daemon_does_not_load_a_terminal_toolkit() -> None:
    """The client library, httpx, imports its own command, and so megabytes, where all three of these are installed."""
    assert not {"click", "pygments", "rich"} <= pins("runtime.txt").keys()


def test_the_installed_version_is_pyprojects() -> None:
    """`--version` and the User-Agent tell the version that pyproject.toml has."""
    assert version("tigr-monitor") == PROJECT["version"]


def test_the_changelog_knows_the_version() -> None:
    """A version has its section; before it is released that is the section of what is not released yet."""
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {PROJECT["version"], "Unreleased"} & set(headings[:2])


def run_tests(directory: Path, *, no_skip: bool) -> str:
    """Run these skipping tests with the project's own conftest.py, and return what pytest says about them."""
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
        "import pytest\npytest.skip('not on this planet', allow_module_level=True)\n", encoding="utf-8"
    )
    environ = {**os.environ, "NO_SKIP": "1" if no_skip else ""}
    command = [sys.executable, "-m", "pytest", "-ra", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=directory, env=environ, capture_output=True, text=True, check=False, timeout=50)
    return done.stdout


def test_what_needs_a_missing_program_is_skipped_with_its_name(tmp_path: Path) -> None:
    """A newcomer without Debian's packages has a green run that says what it left out."""
    said = run_tests(tmp_path, no_skip=False)
    assert "1 passed, 2 skipped, 1 xfailed" in said
    assert "not installed: tigr-no-such-program\n" in said


def test_no_skip_passes_where_all_is_installed(tmp_path: Path) -> None:
    """CI sets NO_SKIP=1: a test, or a whole file, that is skipped there is an error; a known failure stays one."""
    said = run_tests(tmp_path, no_skip=True)
    assert "1 passed, 1 xfailed, 2 errors" in said
    assert "NO_SKIP=1: Skipped: not installed: tigr-no-such-program" in said
    assert "NO_SKIP=1: Skipped: not on this planet" in said
