"""The reload command: its output and its exit status for each outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.service.control import ControlResponse
from monitor.service.reload import ReloadOutcome
from monitor.web.responses import text_response
from tests.support.call import call
from tests.support.control import FakeDaemon, serving
from tests.support.process import run


def test_the_changes_are_printed(tmp_path: Path) -> None:
    """Each is one line."""
    path, daemon = tmp_path / "control.sock", FakeDaemon()
    daemon.outcome = ReloadOutcome(is_refused=False, lines=("new settings are in force", "TIGR_LISTEN changed"))
    with serving(path, daemon.respond):
        ended = run(["reload", "--socket", str(path)], {})
    assert (ended.returncode, ended.stdout) == (0, "new settings are in force\nTIGR_LISTEN changed\n")


def test_the_problems_of_a_refused_reload_are_errors(tmp_path: Path) -> None:
    """The status is 1, and each problem is one line of standard error."""
    path, daemon = tmp_path / "control.sock", FakeDaemon()
    daemon.outcome = ReloadOutcome(is_refused=True, lines=("TIGR_TIMEOUT: is wrong", "TIGR_PROXY: is \x1b[31m wrong"))
    with serving(path, daemon.respond):
        ended = call(["reload", "--socket", str(path)], {})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        "tigr-monitor: the reload is refused, the old settings stay in force:",
        "  TIGR_TIMEOUT: is wrong",
        "  TIGR_PROXY: is  [31m wrong",
    ]


@pytest.mark.parametrize("response", [text_response(504, "it has not ended"), text_response(404, "Not found")])
def test_another_response_is_a_failure(response: ControlResponse, tmp_path: Path) -> None:
    """A reload that does not end, or a monitor of an older version."""
    path = tmp_path / "control.sock"
    with serving(path, lambda _: response):
        ended = call(["reload", "--socket", str(path)], {})
    assert ended.returncode == 1
    assert ended.stderr.startswith("tigr-monitor: the reload failed: ")
