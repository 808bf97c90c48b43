"""`setup` and `set-secret` without systemd, without root, and without a terminal; the arguments of both."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from monitor import cli
from monitor.commands import setup_parsers
from monitor.commands.program import program
from monitor.config.schema import SECRETS
from monitor.installation import systemd
from monitor.installation.stores import Way

COMMANDS = (["setup"], ["setup", "--stdin"], ["set-secret", "prod", "password"])


def test_the_arguments_have_all_secrets_and_ways() -> None:
    """The parser has copies of the names, because their modules are slow to import."""
    assert sorted(setup_parsers.NAMES) == sorted(SECRETS)
    assert sorted(setup_parsers.WAYS) == sorted(Way)


@pytest.mark.parametrize("arguments", COMMANDS)
def test_without_systemd_the_message_has_the_other_way(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a container, the secrets are files that are mounted."""
    monkeypatch.setattr(systemd, "_BOOTED", tmp_path / "none")
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("tigr-monitor: systemd does not run on this machine, as in most containers: write ")
    assert "secret file" in output.err or "/run/secrets" in output.err


@pytest.mark.parametrize("arguments", COMMANDS)
def test_without_root_nothing_is_done(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the reason and the remedy."""
    monkeypatch.setattr(systemd, "_BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == "tigr-monitor: only root can write the secrets of the service; use sudo\n"


@pytest.mark.parametrize("arguments", [["setup", "--store", "none"], ["set-secret", "prod", "token"], ["set-secret"]])
def test_wrong_arguments_are_status_2(arguments: list[str]) -> None:
    """The parser refuses them."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_the_program_is_named_as_the_operator_can_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path if the shell does not find it."""
    path = tmp_path / "tigr-monitor"
    monkeypatch.setattr(sys, "argv", [str(path), "setup"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == str(path)
    path.write_text("")
    path.chmod(0o755)
    assert program() == "tigr-monitor"
