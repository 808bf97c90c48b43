"""State directories that hold what the monitor did not write."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.monitoring.negotiation import LoginRecord
from monitor.monitoring.state import LoginKey, State
from monitor.monitoring.state_file import MAX_SIZE
from monitor.simulator import Simulator
from tests.service.test_daemon_login import WRONG
from tests.support.canaries import simulator_with_canaries
from tests.support.process import PATIENCE, run

KEY = LoginKey("https://auth.example.com/oauth/token", 7)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Both environments, with secrets that can be found again."""
    with simulator_with_canaries() as running:
        yield running


def too_long(path: Path) -> None:
    """Make a state file that only its length makes wrong."""
    path.write_text(json.dumps({"version": 2, "salt": "ab" * 16}).ljust(MAX_SIZE + 1))


@pytest.mark.parametrize("make", [os.mkfifo, too_long])
def test_a_state_file_that_is_none_delays_no_start(make: Callable[[Path], None], tmp_path: Path) -> None:
    """The monitor starts with an empty state and replaces the file."""
    make(tmp_path / "state.json")
    started: list[State] = []
    thread = threading.Thread(target=lambda: started.append(State(tmp_path)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert started
    started[0].save(KEY, LoginRecord(counted=1))
    started[0].close()
    assert State(tmp_path).record(KEY).counted == 1


def test_a_state_file_that_is_too_long_is_not_read_as_a_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning names it as damaged."""
    too_long(tmp_path / "state.json")
    State(tmp_path)
    assert "the state file is damaged" in caplog.text


@pytest.mark.parametrize("token_url", [5, None])
def test_version_1_with_a_url_of_another_type_stops_no_login(token_url: object, tmp_path: Path) -> None:
    """The state that it leaves can be saved and read again."""
    old = {"token_url": token_url, "spelling": "documented", "fingerprint": 5, "rejections": 0, "retry_at": None}
    (tmp_path / "state.json").write_text(json.dumps({"version": 1, "salt": "ab" * 16, "environments": {"prod": old}}))
    state = State(tmp_path)
    state.save(KEY, LoginRecord(counted=1))
    state.close()
    assert State(tmp_path).record(KEY).counted == 1


def test_each_fault_of_a_state_directory_is_logged_once_and_so_is_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory that cannot be locked does not hide that it cannot be written either."""
    state = State(tmp_path / "missing")
    with caplog.at_level(logging.INFO):
        state.save(KEY, LoginRecord(counted=1))
        state.save(KEY, LoginRecord(counted=2))
        assert state.why_not_persisted == "the state directory cannot be written"
        (tmp_path / "missing").mkdir()
        state.save(KEY, LoginRecord(counted=3))
        state.save(KEY, LoginRecord(counted=4))
    assert [record.getMessage() for record in caplog.records] == [
        "the state directory cannot be locked: a second monitor could use it too",
        "the state directory cannot be written: the login state would be lost at a restart",
        "the state directory can be written again",
    ]
    assert state.why_not_persisted == ""


def test_check_reports_that_an_unwritable_directory_remembers_nothing(simulator: Simulator, tmp_path: Path) -> None:
    """The number of requests with the password is in the report."""
    simulator.environment("prod").change_password()
    ended = run(["check"], simulator.settings() | WRONG | {"TIGR_STATE_DIR": str(tmp_path / "missing")})
    report = " ".join(ended.stdout.split())
    assert "this is not persisted: the state directory cannot be written" in report
