"""Modules that the daemon loads: none that only a terminal needs, in whatever set of dependencies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

DAEMON = "import sys, monitor.cli, monitor.service.daemon, monitor.commands.check; print(*sys.modules)"


def test_the_daemon_loads_no_terminal_toolkit() -> None:
    """Httpx loads its own command line, with rich, if rich, click and pygments are all installed."""
    loaded = subprocess.run([sys.executable, "-c", DAEMON], capture_output=True, text=True, check=True, cwd=ROOT)
    modules = set(loaded.stdout.split())
    assert "httpx" in modules
    assert not modules & {"rich", "httpx._main", "prompt_toolkit", "textual", "typer"}


SETS = [path for path in (ROOT / "requirements").glob("*.txt") if path.stem != "interface"]  # the daemon is not in it


@pytest.mark.parametrize("path", sorted(SETS), ids=lambda path: path.stem)
def test_no_set_of_dependencies_installs_one(path: Path) -> None:
    """So the test above holds in each environment that is made from these files."""
    names = {line.split("==")[0] for line in path.read_text().splitlines() if "==" in line}
    assert names
    assert not names & {"rich", "prompt-toolkit", "textual", "typer"}
