"""The command line: its help, output and exit statuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor import cli
from monitor.config import settings
from monitor.simulator import Simulator
from tests.support.call import call
from tests.support.canaries import CANARIES, leaks
from tests.support.process import run

COMMANDS = (
    "run", "check", "demo", "simulate", "config", "status", "incidents", "evidence", "report", "reload", "health",
    "setup", "set-secret",
)  # fmt: skip


def test_help_contains_the_first_steps() -> None:
    """The help lists every command, the required settings and the exit statuses."""
    text = call(["--help"], {}).stdout
    assert all(re.search(rf"tigr-monitor {name}|^    {name} ", text, re.MULTILINE) for name in COMMANDS)
    assert "TIGR_ENVIRONMENTS__PROD__CLIENT_ID" in text
    assert "exit status" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """The help of a command begins with its usage."""
    ended = call([name, "--help"], {})
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"usage: tigr-monitor {name}")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["jump"],
        ["check", "--jsn"],
        ["check", "--json", "--evidence"],
        ["demo", "--seconds", "soon"],
        ["simulate", "--control-port", "65536"],
        ["simulate", "--send"],
    ],
)
def test_wrong_arguments_are_status_2(arguments: list[str]) -> None:
    """Invalid arguments print the usage and exit with status 2."""
    command = call if arguments else run
    ended = command(arguments, {})
    assert ended.returncode == 2
    assert "usage: tigr-monitor" in ended.stderr


def test_config_prints_the_effective_settings(tmp_path: Path) -> None:
    """`config` prints each value with its source, and of a secret only that it is set."""
    with Simulator(("prod",)) as simulator:
        ended = run(["config"], simulator.settings() | {"TIGR_PING_INTERVAL": "45s"})
    assert ended.returncode == 0
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert ["TIGR_PING_INTERVAL", "45s", "environment"] in rows
    assert ["TIGR_AUTH_INTERVAL", "5m", "default"] in rows
    assert ["TIGR_ENVIRONMENTS__PROD__PASSWORD", "set", "environment"] in rows
    assert ["TIGR_ENVIRONMENTS__UAT__ENABLED", "false", "environment"] in rows


@pytest.mark.parametrize("name", ["run", "check", "config"])
def test_invalid_settings_are_reported_in_one_message(name: str) -> None:
    """The message has the full name of each setting, no traceback and no secret; the exit status is 2."""
    command = run if name == "run" else call
    ended = command([name], {"TIGR_ENVIRONMENTS__PROD__CLIENT_ID": CANARIES.client_id + ":", "TIGR_TIMEOUT": "0"})
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "TIGR_ENVIRONMENTS__PROD__CLIENT_ID: " in ended.stderr
    assert "TIGR_TIMEOUT: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not leaks(ended.stderr, [CANARIES.client_id])


def test_an_internal_error_is_reported_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the type and the source line of an exception are printed, because its text may contain a secret."""

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError(CANARIES.password)

    monkeypatch.setattr(settings, "load", broken)
    assert cli.main(["config"]) == 1
    output = capsys.readouterr()
    assert "RuntimeError at test_cli.py:" in output.err
    assert not leaks(output.out + output.err, [CANARIES.password])


def test_an_interrupt_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends a command with status 1 and prints no error."""

    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(settings, "load", interrupted)
    assert cli.main(["config"]) == 1
    assert capsys.readouterr().err == ""
