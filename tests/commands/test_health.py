"""The health command: its output and its exit status."""

from __future__ import annotations

from pathlib import Path

from tests.support.call import call
from tests.support.control import FakeDaemon, serving
from tests.support.process import run


def test_the_health_of_the_daemon_is_printed(tmp_path: Path) -> None:
    """The status is 0, or 1 with each stalled job; no setting is needed, and wrong ones do not matter."""
    path = tmp_path / "control.sock"
    daemon = FakeDaemon()
    with serving(path, daemon.respond):
        ended = call(["health"], {"TIGR_CONTROL_SOCKET": str(path), "TIGR_TIMEOUT": "wrong"})
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "Healthy\n", "")
        daemon.stalled_jobs = ["prod: no ping for 5 min", "uat: no login for 1 h"]
        ended = call(["health", "--socket", str(path)], {})
        assert (ended.returncode, ended.stdout) == (1, "prod: no ping for 5 min\nuat: no login for 1 h\n")


def test_without_a_daemon_the_status_is_1(tmp_path: Path) -> None:
    """Container runtimes define only 0 and 1 for a health check."""
    ended = run(["health", "--socket", str(tmp_path / "control.sock")], {})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("tigr-monitor: no monitor runs on this machine: ")
