"""Start of the daemon: modules that it loads, none that only a terminal needs, and the collection of garbage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from tests.support.checkout import ROOT
from tests.support.process import PATIENCE, clean

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


START = """
import gc, os, pathlib
from monitor import __main__ as program
from monitor.service import daemon, systemd
real, states = daemon.load_trust, []
def load_trust(settings):
    states.append(gc.isenabled())
    return real(settings)
def ready(notifier):
    pathlib.Path(FILE).write_text(f"{[*states, gc.isenabled()]} {gc.get_freeze_count()}")
    os._exit(0)
daemon.load_trust, systemd.SystemdNotifier.ready = load_trust, ready
program.main()
"""


def test_garbage_is_collected_from_the_end_of_the_start_on(tmp_path: Path) -> None:
    """The start takes a tenth less processor time without, and what it has loaded is never collected."""
    file = tmp_path / "states"
    with Simulator(["prod"]) as simulator:
        environ = clean(simulator.settings() | {"TIGR_LISTEN": "127.0.0.1:0", "TIGR_ENVIRONMENTS__UAT__ENABLED": "no"})
        code = START.replace("FILE", repr(str(file)))
        arguments = [sys.executable, "-c", code, "run"]
        subprocess.run(arguments, env=environ, check=True, capture_output=True, cwd=ROOT, timeout=PATIENCE)
    states, frozen = file.read_text().rsplit(" ", 1)
    assert states == "[False, True]"
    assert int(frozen) > 10_000
