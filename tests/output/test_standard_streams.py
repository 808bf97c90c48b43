"""Standard streams that are closed, full, stuck or in another encoding never look like a fault of the monitor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support.canaries import leaks
from tests.support.pipes import pipe
from tests.support.process import PATIENCE, Monitor, clean, command, free_port, wait_for

CLOSED, FULL = ">&-", ">/dev/full"
ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """Yield a simulator without TLS."""
    with Simulator(("prod",), tls=False) as running:
        yield running


@pytest.fixture(scope="module")
def monitor(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    """Yield a running monitor, for the command `health`."""
    directory = tmp_path_factory.mktemp("monitor")
    with Monitor(simulator.settings() | {"TIGR_CONTROL_SOCKET": f"{directory}/control.sock"}, directory) as running:
        yield running


def in_shell(redirection: str, environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with redirected streams, and return its status and its output on those that are left."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command(*arguments)],
        env=clean(environ),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=50,
        check=False,
    )


def environ_of(monitor: Monitor, simulator: Simulator) -> dict[str, str]:
    """Return the settings for a command that also connects to the monitor."""
    return simulator.settings() | {"TIGR_CONTROL_SOCKET": f"{monitor.log_file.parent}/control.sock"}


COMMANDS = [("config",), ("check",), ("check", "--json"), ("health",), ("incidents",), ("--help",), ("--version",)]


@pytest.mark.parametrize("redirection,reason", [(CLOSED, "it is closed"), (FULL, "No space left on device")])
@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_output_that_cannot_be_written_is_one_line_and_status_1(
    arguments: tuple[str, ...], redirection: str, reason: str, monitor: Monitor, simulator: Simulator
) -> None:
    """The line names standard output and the cause."""
    ended = in_shell(redirection, environ_of(monitor, simulator), *arguments)
    assert ended.returncode == 1
    *help_text, line = ended.stderr.splitlines()
    assert line == f"tigr-monitor: cannot write to standard output: {reason}; the output is incomplete"
    assert not help_text or redirection == CLOSED  # argparse then prints the help on standard error


def test_a_check_without_an_output_sends_no_login() -> None:
    """A login whose result cannot be reported would only add to the attempts that the server counts."""
    with Simulator(("prod",), tls=False) as untouched:
        assert in_shell(CLOSED, untouched.settings(), "check").returncode == 1
        assert untouched.log.connections() == 0


@pytest.mark.parametrize(
    "arguments,status", [*((arguments, 0) for arguments in COMMANDS), (("check",), 1), (("check", "--json"), 1)]
)
def test_a_reader_that_left_changes_neither_status_nor_standard_error(
    arguments: tuple[str, ...], status: int, monitor: Monitor, simulator: Simulator
) -> None:
    """`tigr-monitor check | head -1` is silent, and its status is that of the check."""
    simulator.environment("prod").api_faults.clear()
    if status:
        simulator.environment("prod").api_faults.set(Status(500))
    with pipe() as (reading, writing):
        os.close(reading)
        printing = subprocess.Popen(
            command(*arguments), env=clean(environ_of(monitor, simulator)), stdout=writing, stderr=subprocess.PIPE
        )
        _, errors = printing.communicate(timeout=50)
    assert errors == b""
    assert printing.returncode == status


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments,status", [(("config",), 0), (("check", "nowhere"), 2), (("unknown",), 2)])
def test_the_status_does_not_depend_on_standard_error(
    arguments: tuple[str, ...], status: int, redirection: str, monitor: Monitor, simulator: Simulator
) -> None:
    """An error message that cannot be written changes no exit status."""
    expected = 1 if ">&- 2" in redirection and arguments[0] != "unknown" else status
    assert in_shell(redirection, environ_of(monitor, simulator), *arguments).returncode == expected


@pytest.mark.parametrize("encoding", [ASCII, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}])
def test_text_that_the_locale_cannot_encode_is_escaped(
    encoding: dict[str, str], simulator: Simulator, tmp_path: Path
) -> None:
    """Values and error messages are printed with escapes, and the status does not change."""
    file = tmp_path / "monitor.toml"
    environ = simulator.settings() | encoding | {"TIGR_CONFIG_FILE": str(file)}
    file.write_text('state_dir = "/tmp/Журнал"\n')
    shown = in_shell("", environ, "config")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert r"\u0416\u0443\u0440\u043d\u0430\u043b" in shown.stdout
    file.write_text('timeout = "Журнал"\n')
    refused = in_shell("", environ, "check")
    assert refused.returncode == 2
    assert r"\u0416\u0443\u0440\u043d\u0430\u043b" in refused.stderr
    assert "internal error" not in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "stuck,arguments,changes",
    [
        ("stdout", "config", {}),
        ("stderr", "check nowhere", {}),
        ("stderr", "check", {"TIGR_TIMEOUT": "x"}),
        ("stderr", "unknown", {}),
    ],
)
def test_a_signal_ends_a_command_whose_output_nothing_reads(
    stuck: str, arguments: str, changes: dict[str, str], number: signal.Signals, simulator: Simulator
) -> None:
    """The exit does not write the rest of the output once more."""
    environ = clean(simulator.settings() | changes)
    with pipe(full=True) as (_, writing):
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | {stuck: writing}
        process = subprocess.Popen(command(*arguments.split()), env=environ, **streams)  # type: ignore[call-overload]
        try:
            wait_until_idle(process.pid)
            assert end(process, number) in (1, -number)
        finally:
            process.kill()
            process.wait()


def test_a_demo_without_an_output_is_one_line_and_status_1() -> None:
    """The demo ends when its first line cannot be written."""
    for redirection, reason in ((CLOSED, "it is closed"), (FULL, "No space left on device")):
        ended = in_shell(redirection, {}, "demo", "--listen", f"127.0.0.1:{free_port()}")
        assert ended.returncode == 1
        assert f"tigr-monitor: cannot write to standard output: {reason}" in ended.stderr
        assert "internal error" not in ended.stderr


def test_a_demo_ends_when_its_reader_leaves() -> None:
    """`tigr-monitor demo | head -1` ends with status 0."""
    with pipe() as (reading, writing):
        os.close(reading)
        demo = subprocess.run(
            command("demo", "--listen", f"127.0.0.1:{free_port()}"),
            env=clean({}),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=50,
            check=False,
        )
    assert demo.returncode == 0
    assert not leaks(demo.stderr.decode(), ["Traceback"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_demo_whose_output_nothing_reads(number: signal.Signals) -> None:
    """The monitor of the demo ends too."""
    port = free_port()
    with pipe(full=True) as (_, writing):
        demo = subprocess.Popen(
            command("demo", "--listen", f"127.0.0.1:{port}"), env=clean({}), stdout=writing, stderr=writing
        )
        try:
            wait_for(lambda: _listens(port), "the monitor of the demo")
            demo.send_signal(number)
            assert demo.wait(2 * PATIENCE) == 0
        finally:
            demo.kill()
            demo.wait()
    assert not _listens(port)


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> int | None:
    """Send a signal, again after ten seconds as a user does, and return the status; None if the process does not end.

    Python drops an interrupt that arrives in a destructor, and on a busy machine the process may only seem to be idle.
    """
    for _ in range(3):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(10.0)
    return None


def wait_until_idle(pid: int) -> None:
    """Wait until a process has used no processor time for a while. A signal before that has the same effect."""
    used: list[str] = []

    def is_idle() -> bool:
        used.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
        return len(used) > 15 and used[-1] == used[-15]

    wait_for(is_idle, "the process is idle")


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False
