"""The documented commands for developers: cheap ones run in a copy of the clone, make shows the others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import blocks, documents
from tests.support.checkout import ROOT, copy_to, git

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # the subject is not the monitor
]

CHEAP = {"help", "manifests"}  # targets of make that end in seconds and need nothing
CHANGED_ADDRESS = ("sed ", "make manifests")  # the beginnings of two commands that have a test of their own
COMMANDS = sorted(
    {
        line.partition(" #")[0].strip()
        for name in documents.DOCUMENTS
        for block in blocks.fenced(documents.text(name))
        if "source" in block.installations and not block.untested
        for line in block.text.splitlines()
    }
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the clone in which make finds this Python as its environment for developers."""
    directory = tmp_path_factory.mktemp("clone")
    copy_to(directory)
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    (directory / ".venv/bin").mkdir(parents=True)
    for name in ("python", "pip"):
        (directory / ".venv/bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (directory / ".venv/bin" / name).chmod(0o755)
    for name in (".demo", ".dev", ".bench"):
        (directory / ".venv" / name).touch()
    return directory


@pytest.mark.parametrize("command", [each for each in COMMANDS if not each.startswith(CHANGED_ADDRESS)])
def test_a_command_for_developers_works(command: str, clone: Path) -> None:
    """Each ends with status 0; of an expensive target, make can say what it would do."""
    program, *arguments = command.split()
    if program == "make" and arguments[0] not in CHEAP:
        command = f"make --dry-run {' '.join(arguments)}"
    done = subprocess.run(["bash", "-ec", command], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_address_of_the_runbook_reaches_every_generated_file(clone: Path) -> None:
    """The documented commands change the address in the rules, in the dashboard and in the manifests."""
    (change,) = (command for command in COMMANDS if command.startswith("sed "))
    for command in (change, "make manifests"):
        done = subprocess.run(["bash", "-ec", command], cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    changed = set(git(clone, "diff", "--name-only").split())
    assert {"prometheus/rules/alerts.yml", "kubernetes/prometheusrule.yaml", "kubernetes/dashboard.yaml"} <= changed
    for name in changed:
        assert "git.example.net" not in (clone / name).read_text("utf-8")


def test_every_command_for_developers_is_collected() -> None:
    """The documents have make commands, commands of the environment, and one that changes the rules."""
    assert {"make demo", "make test", "make manifests"} <= set(COMMANDS)
    assert shutil.which("make")
    assert (ROOT / "Makefile").exists()
