"""The command `tigr-monitor simulate`: the settings that it prints or writes, and commands from another shell."""

from __future__ import annotations

import importlib.util
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor import cli
from monitor.simulator import Simulator
from monitor.simulator.settings_files import settings_files
from tests.support.call import call
from tests.support.process import clean, command, run

pytestmark = pytest.mark.once

LAST_LINE = "Ctrl-C stops the simulator"


@contextmanager
def simulator(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Yield the process of a simulator with a free control port; kill it at the end if it runs."""
    with subprocess.Popen(
        command("simulate", "--control-port", "0", *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean({"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1", **(environ or {})}),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def printed(process: subprocess.Popen[str]) -> list[str]:
    """Return the lines that the simulator prints at its start."""
    assert process.stdout
    lines = [""]
    while LAST_LINE not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1].startswith(("export TIGR_", "# ")), lines[-1]
    return lines[1:]


def shown_command(lines: list[str], text: str) -> list[str]:
    """Return the arguments of the command that the simulator prints after a text."""
    (line,) = [line for line in lines if line.startswith(f"# {text}: tigr-monitor ")]
    return line.partition(": tigr-monitor ")[2].split()


def test_it_prints_the_settings_of_a_monitor() -> None:
    """A shell that reads them has settings with which a check succeeds."""
    with simulator("rehearsal") as process:
        lines = printed(process)
        exports = [shlex.split(line)[1] for line in lines if line.startswith("export ")]
        settings = dict(export.split("=", 1) for export in exports)
        checked = call(["check"], settings)
    assert checked.returncode == 0, checked.stderr
    assert "rehearsal: ping at" in checked.stdout
    assert settings["TIGR_ENVIRONMENTS__PROD__ENABLED"] == "false"


def test_the_commands_that_it_prints_begin_and_end_a_fault() -> None:
    """The first one sets a fault of the first environment, the second one clears it, the third one lists all."""
    with simulator("uat", "prod", "--plain") as process:
        lines = printed(process)
        begun = run(shown_command(lines, "A fault, from another shell"), {})
        assert (begun.returncode, begun.stdout[:43]) == (0, "uat: token: none; api: status code=503; lif")
        assert call(shown_command(lines, "Its end"), {}).stdout.startswith("uat: token: none; api: none;")
        assert call(shown_command(lines, "All commands"), {}).stdout.startswith("Commands (NAME is an environment)")


def test_commands_from_another_shell_have_the_syntax_of_those_from_standard_input() -> None:
    """JSON, headers and empty values arrive unchanged, and a wrong command has status 2 and its reason."""
    with simulator("prod", "--plain") as process:
        begin = shown_command(printed(process), "A fault, from another shell")
        send = begin[: begin.index("--send") + 1]
        shown = call([*send, "prod", "token", 'token_response={"scope":"a&b=c+d"}', "times=2"], {})
        assert 'token: token_response changes={"scope": "a&b=c+d"}; api: none' in shown.stdout
        call([*send, "prod", "api", "status=429", "Retry-After=7"], {})
        assert 'status code=429 headers={"Retry-After": "7"}' in call([*send, "show"], {}).stdout
        refused = call([*send, "nar", "api", "hang"], {})
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("tigr-monitor: the simulator refuses the command: 'nar' is neither a command nor")


def test_it_runs_until_a_signal() -> None:
    """It runs commands from standard input, stays after its end, and exits with status 0."""
    with simulator("prod", "--plain", "--log") as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        begin = shown_command(printed(process), "A fault, from another shell")
        process.stdin.write("prod token hang\nbla\nprod 'x\n")
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline().startswith("prod: token: hang; api: none;")
        # The signal must not overtake the input: wait for the effect of its last line.
        errors = [process.stderr.readline() for _ in range(2)]
        assert errors == ["'bla' is neither a command nor an environment (prod); try help\n", "No closing quotation\n"]
        assert call(begin, {}).returncode == 0
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_quit_stops_it() -> None:
    """The process exits with status 0 and without errors."""
    with simulator("--plain") as process:
        out, err = process.communicate("quit\n", timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "export TIGR_ENVIRONMENTS__UAT__PASSWORD=" in out


def test_it_writes_the_settings_for_a_service_and_deletes_them(tmp_path: Path) -> None:
    """Only its user can read the file of the settings, and every user the CA certificate."""
    directory = tmp_path / "settings"
    with simulator("rehearsal", "--directory", str(directory)) as process:
        lines = printed(process)
        assert not [line for line in lines if line.startswith("export ")]
        assert f"# The settings of a monitor are in {directory / 'settings.env'}.\n" in lines
        modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in (directory, *directory.iterdir())}
        assert modes == {"settings": "755", "settings.env": "600", "ca.pem": "644"}
        assignments = shlex.split((directory / "settings.env").read_text())
        settings = dict(assignment.split("=", 1) for assignment in assignments)
        assert settings["TIGR_CA_FILE"] == str(directory / "ca.pem")
        assert call(["check"], settings).returncode == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert not directory.exists()


def test_the_files_of_a_killed_simulator_are_replaced(tmp_path: Path) -> None:
    """A link that has the name of a file is not followed, and a directory that was there stays."""
    target = tmp_path / "target"
    target.write_text("unchanged")
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "settings.env").symlink_to(target)
    (directory / "ca.pem").write_text("old")
    with Simulator(("prod",)) as running, settings_files(running, directory) as path:
        assert "TIGR_ENVIRONMENTS__PROD__PASSWORD=" in path.read_text()
        assert (directory / "ca.pem").read_text() == running.ca_file.read_text()
    assert target.read_text() == "unchanged"
    assert list(directory.iterdir()) == []


def test_it_reports_to_systemd_when_it_is_ready(tmp_path: Path) -> None:
    """The settings exist at the time of the notification, so that a service can start after it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(tmp_path / "notify"))
        notifications.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with simulator("--plain", "--directory", str(tmp_path / "settings"), environ=environ):
            assert notifications.recv(100) == b"READY=1"
            assert (tmp_path / "settings" / "settings.env").exists()


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The error names the directory and the reason, and the status is 1."""
    (tmp_path / "file").touch()
    ended = run(["simulate", "--plain", "--control-port", "0", "--directory", str(tmp_path / "file")], {})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"cannot write the settings to {tmp_path / 'file'}: File exists; choose another" in ended.stderr


def test_a_used_control_port_is_an_error() -> None:
    """The error names the option that chooses another, and the status is 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run(["simulate", "--plain", "--control-port", port], {})
    assert ended.returncode == 1
    assert f"cannot listen on control port {port}: Address already in use; choose" in ended.stderr


def test_a_command_without_a_simulator_is_an_error() -> None:
    """The error names the command that starts one, and the status is 1."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # a port that refuses connections
        port = str(bound.getsockname()[1])
        ended = call(["simulate", "--control-port", port, "--send", "show"], {})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"no simulator responds on control port {port}: Connection refused; start `tigr-monitor s" in ended.stderr


@pytest.mark.parametrize("name", ["Prod", "a-b", "a__b", "x y", ""])
def test_a_name_that_no_environment_can_have_is_status_2(name: str) -> None:
    """The error has the name and the rule."""
    ended = call(["simulate", name], {})
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"tigr-monitor: {name!r}: the name of an environment consists of a-z")


@pytest.mark.parametrize("missing", ["cryptography", "jwt", "trustme"])
def test_a_missing_package_is_status_2(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the packages, and the command that installs the pinned set from a clone."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    assert cli.main(["simulate", "--control-port", "0"]) == 2
    text = capsys.readouterr().err
    assert re.search(rf"^tigr-monitor: the simulator needs packages .*\({missing}\); in the folder of the source", text)
    assert "-m pip install --require-hashes --no-deps -r requirements/demo.txt\n" in text
    assert not re.search(r"\[demo\]|https?:|index", text)
