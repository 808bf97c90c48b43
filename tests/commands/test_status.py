"""The status command: its text, its exit status, and its repetition."""

from __future__ import annotations

import json
import math
import os
import pty
import select
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.layout import Style
from monitor.commands.status import as_text
from monitor.model import Endpoint, Phase, Reason, Responsibility
from monitor.reporting.overview import EndpointState, EnvironmentOverview, Overview
from monitor.web import representation
from tests.support.call import call
from tests.support.control import FakeDaemon, serving
from tests.support.overviews import (
    NOW,
    FakeReports,
    make_endpoint,
    make_environment,
    make_failed_endpoint,
    make_failed_environment,
    make_failure,
    make_overview,
)
from tests.support.process import PATIENCE, clean, command, run, wait_for

REJECTED = make_failure(
    reason=Reason.UNAUTHORIZED,
    responsibility=Responsibility.CREDENTIALS,
    received='status 401: "Invalid Login ID or Password"',
    next_step="Enter the current password, then run tigr-monitor reload.",
    ticket=None,
)
STOPPED = make_environment(
    "uat",
    sentence="logins rejected since 22:56 UTC; pings still work for 50 min",
    is_well=False,
    login=make_failed_endpoint(
        Endpoint.TOKEN, failure=REJECTED, next_attempt=math.inf, delay="the credentials were rejected three times"
    ),
)
TEXT = """\
prod: pings have failed since 22:56 UTC (server_error); logins succeed
monitor: the last reload failed

prod: pings have failed since 22:56 UTC (server_error); logins succeed
    login  up       since 2026-10-30 23:06:40 UTC (1 d)
           next try     2026-10-31 23:06:58 UTC (in 18 s)
    ping   down     since 2026-10-31 22:56:40 UTC (10 min)
           reason       server_error: status 503: Service Unavailable
           responsible  the vendor's API
           next try     2026-10-31 23:06:58 UTC (in 18 s)
           next step    Send the ticket to the vendor.
           ticket       tigr-monitor evidence 17

uat: logins rejected since 22:56 UTC; pings still work for 50 min
    login  down     since 2026-10-31 22:56:40 UTC (10 min)
           reason       unauthorized: status 401: "Invalid Login ID or Password"
           responsible  our credentials
           next try     no attempt until an operator acts: the credentials were rejected three times
           next step    Enter the current password, then run tigr-monitor reload.
           evidence     tigr-monitor evidence 17
    ping   up       since 2026-10-30 23:06:40 UTC (1 d)
           next try     2026-10-31 23:06:58 UTC (in 18 s)

2026-10-31 23:06:40 UTC, tigr-monitor 0.1.0"""


def text(overview: Overview, style: Style = Style()) -> str:  # noqa: B008 - it is immutable
    """Return what the command prints, after the transport as JSON."""
    status: dict[str, Any] = json.loads(json.dumps(representation.overview(overview)))
    return as_text(status, style)


def test_the_sentence_comes_first_then_each_environment() -> None:
    """State, since, reason, responsible party, next attempt and next step of each; times in UTC with their age."""
    problems = ("the last reload failed",)
    assert text(make_overview(make_failed_environment("prod"), STOPPED, problems=problems)) == TEXT


def test_a_start_and_a_pause_are_described() -> None:
    """Nothing has been probed, and nothing is scheduled."""
    starting = make_endpoint(
        Endpoint.TOKEN, state=EndpointState.STARTING, since=None, last=None, next_attempt=None, incident=None
    )
    lines = text(make_overview(make_environment(login=starting))).splitlines()
    assert "    login  starting no probe has ended yet" in lines
    assert "           next try     no attempt is scheduled" in lines


def test_a_timeout_has_its_phase() -> None:
    """The next step depends on it."""
    failure = make_failure(reason=Reason.TIMEOUT, phase=Phase.CONNECT, received="no response within 2 s")
    lines = text(make_overview(make_failed_environment(ping=make_failed_endpoint(failure=failure)))).splitlines()
    assert "           reason       timeout in the phase connect: no response within 2 s" in lines


def test_only_the_state_has_a_colour() -> None:
    """Green, red, and yellow for the rest; the sentence is bold."""
    unknown = make_endpoint(state=EndpointState.UNKNOWN)
    coloured = text(make_overview(make_failed_environment(login=unknown)), Style(colour=True))
    assert coloured.startswith("\x1b[1mprod: pings have failed")
    assert "\x1b[31mdown\x1b[0m" in coloured
    assert "\x1b[33munknown\x1b[0m" in coloured
    assert "\x1b[32mup\x1b[0m" in text(make_overview(), Style(colour=True))


def hostile(width: int) -> EnvironmentOverview:
    """Return an environment whose texts are long and would control a terminal."""
    evil = "\x1b[2J\x9b\r\n\t" + "x" * width * 3 + " word" * width
    failure = make_failure(received=evil, next_step=evil, means=evil)
    return make_failed_environment(sentence=evil, ping=make_failed_endpoint(failure=failure, delay=evil))


@pytest.mark.parametrize("width", [40, 72, 100])
def test_every_line_fits_and_is_printable(width: int) -> None:
    """Texts of servers are wrapped, and do not control the terminal."""
    lines = text(
        make_overview(hostile(width), sentence="s" * 500, problems=("p" * 500,)), Style(width=width)
    ).splitlines()
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_the_exit_status_shows_whether_all_is_well(tmp_path: Path) -> None:
    """It is 0 or 1, with and without --json, which prints the object of the JSON interface."""
    path = str(tmp_path / "control.sock")
    reports = FakeReports()
    with serving(Path(path), FakeDaemon(reports).respond):
        for overview, status in ((make_overview(), 0), (make_overview(STOPPED), 1)):
            reports.current = overview
            ended = run(["status", "--socket", path], {})
            assert (ended.returncode, ended.stdout, ended.stderr) == (status, f"{text(overview)}\n", "")
            ended = run(["status", "--json", "--socket", path], {})
            assert ended.returncode == status
            assert json.loads(ended.stdout) == json.loads(json.dumps(representation.overview(overview)))


def test_json_and_watch_exclude_each_other() -> None:
    """The status is 2."""
    assert call(["status", "--json", "--watch"], {}).returncode == 2


def read(descriptor: int) -> bytes:
    """Return what a terminal shows next, or nothing."""
    readable, _, _ = select.select([descriptor], [], [], PATIENCE)
    return os.read(descriptor, 65536) if readable else b""


def test_watch_redraws_until_an_interrupt(tmp_path: Path) -> None:
    """A change shows, a daemon that is gone shows, and the status after Ctrl-C is 0."""
    path = tmp_path / "control.sock"
    reports = FakeReports()
    leading, following = pty.openpty()
    shown = bytearray()

    def shows(wanted: bytes) -> bool:
        shown.extend(read(leading))
        return wanted in shown

    with os.fdopen(leading, "rb"), os.fdopen(following, "wb") as terminal:
        with serving(path, FakeDaemon(reports).respond):
            environ = clean({"TERM": "xterm", "NO_COLOR": "1"})
            arguments = command("status", "--watch", "--socket", str(path))
            process = subprocess.Popen(arguments, env=environ, stdout=terminal, stderr=terminal)
            try:
                wait_for(lambda: shows(b"Every environment works."), "the first state")
                assert shown.startswith(b"\x1b[H\x1b[2J")
                reports.current = make_overview(STOPPED, time=NOW + 2.0)
                wait_for(lambda: shows(b"logins rejected since"), "the second state")
            except BaseException:
                process.kill()
                raise
        try:
            wait_for(lambda: shows(b"no monitor runs on this machine"), "the end of the daemon")
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
    assert b"Traceback" not in shown


def test_watch_without_a_daemon_ends(tmp_path: Path) -> None:
    """A wrong path would else never be noticed."""
    assert call(["status", "--watch", "--socket", str(tmp_path / "none")], {}).returncode == 3


def test_watch_ends_when_its_reader_has_left(tmp_path: Path) -> None:
    """`tigr-monitor status --watch | head -1` ends with status 0."""
    path = tmp_path / "control.sock"
    with serving(path, FakeDaemon().respond):
        watching = subprocess.Popen(
            command("status", "--watch", "--socket", str(path)),
            env=clean({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert watching.stdout
        assert watching.stderr
        watching.stdout.readline()
        watching.stdout.close()
        assert watching.wait(PATIENCE) == 0
        assert watching.stderr.read() == b""
        watching.stderr.close()
