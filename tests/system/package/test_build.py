"""The Debian packages as files: the same bytes for the same commit, and their contents."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitor import __version__
from monitor.cli import command_parser
from tests.support.checkout import ROOT, git, tracked
from tests.system.package.packages import CONFFILE, SUITES, make_deb

pytestmark = [pytest.mark.system, pytest.mark.needs("mmdebstrap", "dpkg-deb"), pytest.mark.timeout(900)]

DOCUMENTATION = "usr/share/doc/tigr-monitor"
each_suite = pytest.mark.parametrize("suite", SUITES)


def field(package: Path, name: str) -> str:
    """Return a field of the description of a package."""
    command = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def listing(package: Path) -> list[str]:
    """Return the lines of `tar --list --verbose` about the contents of a package."""
    command = ["dpkg-deb", "--contents", str(package)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def files(package: Path) -> set[str]:
    """Return the paths of all files and links in a package."""
    return {line.split()[5].removeprefix("./") for line in listing(package) if not line.startswith("d")}


def extract(package: Path, directory: Path) -> Path:
    """Extract the contents of a package into a new directory, and return it."""
    subprocess.run(["dpkg-deb", "--raw-extract", package, directory / "tree"], check=True)
    return directory / "tree"


def test_the_same_commit_gives_the_same_bytes(packages: dict[str, Path], tmp_path: Path) -> None:
    """A second build, in another directory and for another user's settings, gives the same package."""
    clone = tmp_path / "a second clone"
    git(tmp_path, "clone", "--quiet", str(packages["trixie"].parents[1]), clone.name)
    (again,) = make_deb(clone, "trixie", umask=0o077, environ={"TZ": "Asia/Kolkata", "LANG": "C", "LC_ALL": "C"})
    assert again.name == packages["trixie"].name
    assert again.read_bytes() == packages["trixie"].read_bytes()


@pytest.mark.parametrize(
    "suite,number,python",
    [("bookworm", 12, "python3 (>= 3.11), python3 (<< 3.12)"), ("trixie", 13, "python3 (>= 3.13), python3 (<< 3.14)")],
)
def test_a_package_depends_on_one_version_of_python(
    suite: str, number: int, python: str, packages: dict[str, Path]
) -> None:
    """The version names the release of Debian, and no other Python than that of the release is allowed."""
    package = packages[suite]
    architecture = field(package, "Architecture")
    assert package.name == f"tigr-monitor_{__version__}+deb{number}_{architecture}.deb"
    assert field(package, "Version") == f"{__version__}+deb{number}"
    assert field(package, "Depends").startswith(f"{python}, ca-certificates")


@each_suite
def test_the_package_contains_the_whole_program(suite: str, packages: dict[str, Path]) -> None:
    """The package contains every tracked file of `monitor`, rules, dashboard, documents, man page and completion."""
    names = files(packages[suite])
    program = next(name for name in names if name.endswith("/site-packages/monitor/cli.py")).removesuffix("cli.py")
    modules = {f"monitor/{name.removeprefix(program)}" for name in names if name.startswith(program)}
    assert modules == tracked("monitor")
    shared = {name.removeprefix("usr/share/tigr-monitor/") for name in names if "share/tigr-monitor/" in name}
    assert tracked("prometheus/rules", "prometheus/templates", "grafana/provisioning") <= shared
    assert "grafana/tigr-connectivity.json" in shared
    documents = {name.removeprefix("usr/share/doc/tigr-monitor/") for name in names if "share/doc/" in name}
    assert {name for name in tracked("docs") if name.endswith(".md")} | {
        "README.md",
        "THIRD-PARTY.txt",
        "copyright",
    } <= documents
    assert {
        CONFFILE,
        "usr/bin/tigr-monitor",
        "usr/lib/systemd/system/tigr-monitor.service",
        "usr/lib/systemd/system/tigr-monitor-check.service",
        "usr/share/bash-completion/completions/tigr-monitor",
        "usr/share/doc/tigr-monitor/examples/tigr-monitor.toml",
        "usr/share/man/man1/tigr-monitor.1.gz",
        "usr/share/zsh/vendor-completions/_tigr-monitor",
    } <= names


@each_suite
def test_the_package_contains_nothing_of_the_build(suite: str, packages: dict[str, Path], tmp_path: Path) -> None:
    """No compiled file, no tool and no path of the build is in the package; every file belongs to root."""
    tree = extract(packages[suite], tmp_path)
    assert not [path for path in tree.rglob("*") if path.name == "__pycache__" or path.suffix == ".pyc"]
    programs = {path.name for path in tree.joinpath("usr/lib/tigr-monitor/bin").iterdir()}
    assert {name for name in programs if not name.startswith("python")} == {"tigr-monitor"}
    assert not list(tree.glob("usr/lib/tigr-monitor/lib/*/site-packages/pip"))
    texts = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(texts) > 500
    paths = (b"/build/source", b"/build/wheels", b"/build/tree", b"/tmp/tigr-monitor", bytes(ROOT))
    assert [path for path in texts if any(part in path.read_bytes() for part in paths)] == []
    assert {line.split()[1] for line in listing(packages[suite])} == {"root/root"}


@each_suite
def test_the_licenses_of_all_libraries_are_listed(suite: str, packages: dict[str, Path], tmp_path: Path) -> None:
    """THIRD-PARTY.txt has every library of the package with its version."""
    tree = extract(packages[suite], tmp_path)
    metadata = [path.read_text() for path in tree.glob("usr/lib/tigr-monitor/lib/*/site-packages/*.dist-info/METADATA")]
    read = {tuple(re.findall(r"^(?:Name|Version): (.+)$", text, re.MULTILINE)[:2]) for text in metadata}
    libraries = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in read}
    assert len(libraries) > 20
    names = re.findall(
        r"^=+\n(\S+) (\S+)\nLicense: ", (tree / DOCUMENTATION / "THIRD-PARTY.txt").read_text(), re.MULTILINE
    )
    assert libraries - set(names) == {("tigr-monitor", __version__)}


@each_suite
def test_the_units_run_the_program_of_the_package(suite: str, packages: dict[str, Path], tmp_path: Path) -> None:
    """The units name the program of the package, and everything else is as in the installation with pip."""
    tree = extract(packages[suite], tmp_path)
    for name in ("tigr-monitor", "tigr-monitor-check"):
        unit = tree.joinpath(f"usr/lib/systemd/system/{name}.service").read_text()
        assert set(re.findall(r"^Exec\w+=(\S+)", unit, re.MULTILINE)) == {"/usr/bin/tigr-monitor"}
        original = ROOT.joinpath(f"systemd/{name}.service").read_text()
        assert unit == original.replace("/opt/tigr-monitor/bin/tigr-monitor", "/usr/bin/tigr-monitor")


def test_man_page_and_completion_have_every_command(packages: dict[str, Path], tmp_path: Path) -> None:
    """Both are generated from the parser."""
    tree = extract(packages["trixie"], tmp_path)
    page = subprocess.run(
        ["zcat", tree / "usr/share/man/man1/tigr-monitor.1.gz"], capture_output=True, text=True, check=True
    ).stdout.replace("\\-", "-")
    bash = tree.joinpath("usr/share/bash-completion/completions/tigr-monitor").read_text()
    zsh = tree.joinpath("usr/share/zsh/vendor-completions/_tigr-monitor").read_text()
    commands = re.findall(r"^    ([a-z-]+) {2,}\S", command_parser().format_help(), re.MULTILINE)
    assert {"run", "check", "simulate"} <= set(commands)
    for command in commands:
        assert re.search(rf"^\S* *.*tigr-monitor {command}\b", page, re.MULTILINE), command
        assert re.search(rf"['\"( ]{command}['\") ]", bash), command
        assert re.search(rf"^ +{command}:'", zsh, re.MULTILINE), command
