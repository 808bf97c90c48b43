"""The daemon measures, serves and stops regardless of the state of its standard streams."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from tests.support.pipes import PipeReader, pipe
from tests.support.process import PATIENCE, Monitor, clean, command, run, wait_for

FAST = {"TIGR_PING_INTERVAL": "1s", "TIGR_AUTH_INTERVAL": "3s", "TIGR_TIMEOUT": "1s", "TIGR_RENEW_MARGIN": "1s"}
DROPPED = "tigr_log_messages_dropped_total"
# Python imports this module at its start: a thread of it logs more than the queue can take, and prints.
FLOOD = """
import logging, sys, threading, time, warnings

def flood():
    while not logging.getLogger().handlers:
        time.sleep(0.01)
    for number in range(%d):
        logging.getLogger("monitor.flood").warning("flood %%d", number)
    print("on standard output")
    print("on standard error", file=sys.stderr)
    warnings.warn("text", UserWarning)
    raise RuntimeError("text")

threading.Thread(target=flood, daemon=True).start()
"""


@pytest.fixture
def environ(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the settings of a monitor of a simulator, with a flood of log records at its start."""
    (tmp_path / "sitecustomize.py").write_text(FLOOD % 1500)
    with Simulator(("prod",), tls=False) as simulator:
        yield simulator.settings() | FAST | {"PYTHONPATH": str(tmp_path), "TIGR_LOG_LEVEL": "debug"}


def pings(monitor: Monitor) -> float:
    """Return the number of successful pings."""
    labels = {"environment": "prod", "endpoint": "ping", "outcome": "success"}
    return monitor.value("tigr_requests_total", **labels) or 0.0


def wait_for_progress(monitor: Monitor) -> None:
    """Wait until two more pings have succeeded, and check the health."""
    before = pings(monitor)
    wait_for(lambda: pings(monitor) >= before + 2, "two more pings")
    assert monitor.get("/-/healthy")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stuck_reader_stops_neither_the_probes_nor_the_exit(
    number: signal.Signals, environ: dict[str, str], tmp_path: Path
) -> None:
    """The pipe is full before the start: probes, scrapes and reloads go on, drops are counted, and signals work."""
    with pipe(full=True) as (_, writing), Monitor(environ, tmp_path, output=writing) as monitor:
        wait_for(lambda: monitor.value(DROPPED), "dropped records")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.process.send_signal(signal.SIGUSR1)
        wait_for_progress(monitor)
        monitor.process.send_signal(number)
        assert monitor.process.wait(PATIENCE) == 0


def test_dropped_records_are_reported_once_when_the_reader_resumes(environ: dict[str, str], tmp_path: Path) -> None:
    """The report has the count of the metric, and every line is whole."""
    environ["TIGR_LOG_LEVEL"] = "info"
    with pipe(full=True) as (reading, writing), Monitor(environ, tmp_path, output=writing) as monitor:
        wait_for(lambda: monitor.value(DROPPED), "dropped records")
        reader = PipeReader(reading)
        wait_for(lambda: "log records were dropped" in reader.text(), "the report")
        wait_for_progress(monitor)
        dropped = monitor.value(DROPPED)
        assert dropped is not None
        assert monitor.stop() == 0
        lines = reader.text().splitlines()
        count = re.findall(r"log records were dropped.* count=(\d+)", reader.text())
        assert len(count) == 1
        assert float(count[0]) == dropped > 0
        assert all(line.startswith("ts=") for line in lines)
        assert lines[-1].endswith("msg=stopping")
        numbers = [int(number) for number in re.findall(r'msg="flood (\d+)"', reader.text())]
        assert numbers == sorted(set(numbers))


def test_a_reader_that_leaves_changes_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    """Records without a reader are counted as dropped."""
    with pipe() as (reading, writing), Monitor(environ, tmp_path, output=writing) as monitor:
        os.close(reading)
        wait_for(lambda: monitor.value(DROPPED), "dropped records")
        wait_for_progress(monitor)
        assert monitor.stop() == 0


def test_a_full_device_changes_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    """Every record is counted as dropped."""
    with Monitor(environ, tmp_path, redirection=">/dev/full 2>&1") as monitor:
        wait_for(lambda: (monitor.value(DROPPED) or 0) >= 1500, "dropped records")
        wait_for_progress(monitor)
        assert monitor.stop() == 0


@pytest.mark.parametrize("redirection,closed", [("2>&-", [2]), ("<&- >&- 2>&-", [0, 1, 2]), ("<&- >&-", [0, 1])])
def test_closed_descriptors_are_opened_on_dev_null(
    redirection: str, closed: list[int], environ: dict[str, str], tmp_path: Path
) -> None:
    """No socket or file gets the number of a standard stream."""
    with Monitor(environ, tmp_path, redirection=redirection) as monitor:
        descriptors = Path(f"/proc/{monitor.process.pid}/fd")
        for number in closed:
            assert descriptors.joinpath(str(number)).readlink() == Path(os.devnull)
        wait_for(lambda: pings(monitor), "a ping")
        assert monitor.stop() == 0
        assert ("stopping" in monitor.log()) == (2 not in closed)


def test_messages_of_python_are_log_records(environ: dict[str, str], tmp_path: Path) -> None:
    """Output, warnings and exceptions of a library are records with a place and without their text."""
    (tmp_path / "sitecustomize.py").write_text(FLOOD % 100)
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for_log("uncaught exception in thread")
        assert monitor.stop() == 0
    text = monitor.log()
    assert text.count('msg="flood ') == 100
    assert all(line.startswith("ts=") for line in text.splitlines())
    for expected in (
        "unexpected output on standard output was discarded: it came from sitecustomize.py:9",
        "unexpected output on standard error was discarded: it came from sitecustomize.py:10",
        "UserWarning at sitecustomize.py:11",
        "RuntimeError at sitecustomize.py:12",
    ):
        assert text.count(expected) == 1


def test_a_start_that_fails_ends_although_the_reader_is_stuck(environ: dict[str, str], tmp_path: Path) -> None:
    """The error message waits for the reader for a limited time."""
    with Monitor(environ, tmp_path) as monitor, pipe(full=True) as (_, writing):
        second = environ | {"TIGR_LISTEN": f"127.0.0.1:{monitor.port}"}
        process = subprocess.Popen(command("run"), env=clean(second), stdout=writing, stderr=writing)
        try:
            assert process.wait(2 * PATIENCE) == 1
        finally:
            process.kill()
            process.wait()


def test_an_error_in_the_settings_ends_the_daemon_although_the_reader_is_stuck() -> None:
    """The message waits for the reader for a limited time."""
    with pipe(full=True) as (_, writing):
        process = subprocess.Popen(command("run"), env=clean({"TIGR_TIMEOUT": "x"}), stdout=writing, stderr=writing)
        try:
            assert process.wait(PATIENCE) == 2
        finally:
            process.kill()
            process.wait()


def test_a_long_error_message_is_printed_in_full(tmp_path: Path) -> None:
    """The writer neither cuts nor drops the problems of a configuration."""
    names = [f"TIGR_WRONG_{number}" for number in range(1200)]
    ended = run(["run"], dict.fromkeys(names, "x"))
    assert ended.returncode == 2
    assert [name for name in names if f"  {name}: " not in ended.stderr] == []
