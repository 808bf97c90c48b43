"""The demo as a process."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.process import PATIENCE, clean, command, free_port, wait_for

pytestmark = pytest.mark.once


def demo(*options: str) -> list[str]:
    """Return the command line of a demo on a free port."""
    return command("demo", "--listen", f"127.0.0.1:{free_port()}", *options)


def test_the_demo_shows_the_monitor_and_the_first_incident(tmp_path: Path) -> None:
    """The monitor logs in and pings, the first incident is announced and logged, and Ctrl-C ends both with status 0."""
    output, log = tmp_path / "output", tmp_path / "log"
    with output.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(demo(), env=clean({}), cwd=tmp_path, stdout=out, stderr=err)
    try:
        for line in ("prod: login works", "uat: ping works", "prod: ping failed: server_error"):
            wait_for(lambda line=line: line in log.read_text() or process.poll() is not None, line, 240)  # type: ignore[misc]
            assert line in log.read_text()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    first, second = re.findall(r"http://\S+", output.read_text())[:2]
    assert second == f"{first}metrics"  # the address of the status page comes first
    assert "prod: the ping gets status 500." in output.read_text()
    assert output.read_text().endswith("The demo has stopped.\n")
    assert "stopping" in log.read_text()
    assert "reason=internal" not in log.read_text()


def test_the_demo_stops_after_the_given_time(tmp_path: Path) -> None:
    """The option --seconds ends the demo and its monitor without a signal, with status 0."""
    ended = subprocess.run(
        demo("--seconds", "0.1"), env=clean({}), cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("The demo has stopped.\n")
    assert "stopping" in ended.stderr
