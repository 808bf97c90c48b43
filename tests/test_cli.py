"""The command line: what it teaches, prints and returns."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitor import cli
from monitor.commands import health
from monitor.simulator import Simulator
from tests.support.canaries import CANARIES, leaks
from tests.support.process import clean, command, run

COMMANDS = ("run", "check", "demo", "config", "health")


def test_help_teaches_the_first_steps() -> None:
    """Every command, the least there is to set, and the exit statuses."""
    told = run(["--help"], {}).stdout
    assert all(re.search(rf"tigr-monitor {name}|^    {name} ", told, re.MULTILINE) for name in COMMANDS)
    assert "TIGR_ENVIRONMENTS__PROD__CLIENT_ID" in told
    assert "exit status" in told


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """Of its own."""
    ended = run([name, "--help"], {})
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"usage: tigr-monitor {name}")


@pytest.mark.parametrize("arguments", [[], ["jump"], ["check", "--jsn"], ["demo", "--seconds", "soon"]])
def test_wrong_arguments_are_status_2(arguments: list[str]) -> None:
    """With the usage."""
    ended = run(arguments, {})
    assert ended.returncode == 2
    assert "usage: tigr-monitor" in ended.stderr


def test_config_prints_what_is_in_force(tmp_path: Path) -> None:
    """Each value with where it came from, of a secret only that it is set."""
    with Simulator(("prod",)) as simulator:
        ended = run(["config"], simulator.settings() | {"TIGR_PING_INTERVAL": "45s"})
    assert ended.returncode == 0
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert ["TIGR_PING_INTERVAL", "45s", "environment"] in rows
    assert ["TIGR_AUTH_INTERVAL", "5m", "default"] in rows
    assert ["TIGR_ENVIRONMENTS__PROD__PASSWORD", "set", "environment"] in rows
    assert ["TIGR_ENVIRONMENTS__UAT__ENABLED", "false", "environment"] in rows


@pytest.mark.parametrize("name", ["run", "check", "config", "health"])
def test_a_wrong_setting_is_one_message(name: str) -> None:
    """Status 2, the setting's full name, no traceback, no value of a secret."""
    ended = run([name], {"TIGR_ENVIRONMENTS__PROD__CLIENT_ID": CANARIES.client_id + ":", "TIGR_TIMEOUT": "0"})
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "TIGR_ENVIRONMENTS__PROD__CLIENT_ID: " in ended.stderr
    assert "TIGR_TIMEOUT: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not leaks(ended.stderr, [CANARIES.client_id])


def test_a_fault_of_our_own_shows_no_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception's message may hold a secret: only its place is told."""

    def broken(*_: object, **__: object) -> object:
        raise RuntimeError(CANARIES.password)

    monkeypatch.setattr(cli, "load", broken)
    assert cli.main(["config"]) == 1
    told = capsys.readouterr()
    assert "RuntimeError at test_cli.py:" in told.err
    assert not leaks(told.out + told.err, [CANARIES.password])


def test_an_interrupt_ends_it_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is no fault."""

    def interrupted(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load", interrupted)
    assert cli.main(["config"]) == 1
    assert capsys.readouterr().err == ""


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    """`tigr-monitor config | head -1` says nothing on standard error."""
    with Simulator(("prod",)) as simulator:
        printing = subprocess.Popen(
            command("config"), env=clean(simulator.settings()), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert printing.stdout is not None
        assert printing.stderr is not None
        printing.stdout.close()
        assert printing.stderr.read() == b""
        printing.stderr.close()
        assert printing.wait(30) == 1


def test_health_without_a_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says that nobody answers; status 1."""
    healthy, text = health.health("127.0.0.1", 1, tls=False)
    assert not healthy
    assert "no answer from 127.0.0.1 port 1" in text
