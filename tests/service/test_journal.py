"""The journal of the daemon as a process: over a kill, a restart and a reload."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from monitor.reporting.incident import Incident
from monitor.reporting.journal_database import FILE, JournalDatabase
from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.service.test_daemon import FAST, PROD_PING, files
from tests.support.process import Monitor, wait_for

pytestmark = pytest.mark.once

COUNTED = {**PROD_PING, "reason": "server_error"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments."""
    with Simulator() as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state directory."""
    directory = tmp_path / "state"
    directory.mkdir(0o700)
    return directory


def incidents(state: Path) -> list[Incident]:
    """Return the incidents of a monitor that has ended, newest first."""
    with closing(JournalDatabase(state)) as database:
        return database.incidents(None, None)


def is_stored(state: Path, count: int) -> bool:
    """Return whether the log of the running monitor's database has a text so often; its lock excludes readers."""
    return (state / f"{FILE}-wal").read_bytes().count(b'"responsibility":"api"') >= count


def test_an_outage_that_outlasts_a_kill_is_one_incident(simulator: Simulator, state: Path, tmp_path: Path) -> None:
    """It is counted once, and the process that sees its end saves it before it exits."""
    environ = simulator.settings() | FAST | {"TIGR_STATE_DIR": str(state)}
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        simulator.environment("prod").api_faults.set(Status(503))
        monitor.wait_for(1, "tigr_incidents_total", **COUNTED)
        wait_for(lambda: is_stored(state, 1), "the begin of the incident is saved")
        monitor.process.kill()
        monitor.process.wait()
        assert 'responsible="the vendor\'s API"' in monitor.log()
    with Monitor(environ, tmp_path) as monitor:
        wait_for(lambda: (monitor.value("tigr_consecutive_failures", **PROD_PING) or 0) >= 4, "more failed pings")
        assert monitor.value("tigr_incidents_total", **COUNTED) == 0
        simulator.environment("prod").api_faults.clear()
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert monitor.stop() == 0
    (incident,) = incidents(state)
    assert (incident.number, incident.last_observed) == (1, None)
    assert incident.end is not None
    assert sum(count for _, count in incident.reasons) >= 7
    assert 0 < incident.down < incident.end - incident.begin
    assert sorted(path.name for path in state.iterdir() if "journal" in path.name) == [FILE]


def test_a_removed_environment_ends_its_incident(simulator: Simulator, state: Path, tmp_path: Path) -> None:
    """A reload disables it; the end was not observed."""
    environ = files(simulator, tmp_path, state_dir=str(state))
    config = Path(environ["TIGR_CONFIG_FILE"])
    simulator.environment("prod").api_faults.set(Status(503))
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_incidents_total", **COUNTED)
        complete = config.read_text()
        config.write_text(complete.replace("[environments.prod]", "[environments.prod]\nenabled = false"))
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: new settings are in force")
        assert monitor.stop() == 0
    (incident,) = incidents(state)
    assert incident.end is not None
    assert incident.last_observed is not None


def test_a_damaged_journal_does_not_stop_the_monitor(simulator: Simulator, state: Path, tmp_path: Path) -> None:
    """It is set aside, and the log says so once."""
    (state / FILE).write_bytes(b"damaged" * 1000)
    environ = simulator.settings() | FAST | {"TIGR_STATE_DIR": str(state)}
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for_log("the journal was damaged")
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert monitor.stop() == 0
        assert monitor.log().count("the journal was damaged") == 1
    assert incidents(state) == []
    with closing(sqlite3.connect(state / FILE)) as connection:
        assert connection.execute("SELECT count(*) FROM days").fetchone()[0] > 0
