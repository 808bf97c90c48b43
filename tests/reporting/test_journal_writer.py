"""The journal on disk: saved, loaded, damaged, not writable, killed, and read by others."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.model import Endpoint, Reason
from monitor.reporting import incident_json, journal_database, journal_writer
from monitor.reporting.incident import Incident
from monitor.reporting.journal import Journal
from monitor.reporting.journal_content import DamagedJournalError
from monitor.reporting.journal_database import FILE, SET_ASIDE, VERSION, JournalDatabase
from monitor.reporting.journal_writer import JournalWriter
from monitor.reporting.overview import JournalBusyError
from monitor.reporting.uptime_sums import DAY, HOUR
from tests.support.checkout import ROOT
from tests.support.journals import START, JournalTime, journal_of, run
from tests.support.process import wait_for

PAGE_SIZE = 4096  # bytes, of the database


class Saved:
    """A journal of prod in a directory, with its writer, inside `with`."""

    def __init__(self, directory: Path, time: JournalTime | None = None) -> None:
        self.time = time or JournalTime("prod")
        self.journal = journal_of(self.time, "prod", is_loaded=False)
        self.writer = JournalWriter(self.journal, directory, self.time.clock)

    def __enter__(self) -> Self:
        self.writer.start()
        wait_for(lambda: self.journal.is_loaded, "the journal is loaded")
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        assert not self.writer._thread.is_alive()

    def run(self, symbols: str, endpoint: Endpoint = Endpoint.PING) -> None:
        """Record probes."""
        run(self.journal, self.time, symbols, endpoint)

    def save(self) -> None:
        """Wait until the changes are on disk."""

        def is_saved() -> bool:
            self.writer._wake()
            return self.writer._database is not None and not self.journal._unsaved

        wait_for(is_saved, "the journal is saved")

    def prune(self) -> None:
        """Wait until the writer has deleted what is old, or has decided to delete nothing, at the time of the clock."""

        def is_pruned() -> bool:
            self.writer._wake()
            return self.writer._prune_at > self.time.clock.now()

        wait_for(is_pruned, "the journal is pruned")
        self.stored()  # by the same thread: afterwards

    def stored(self, since: float | None = None) -> list[Incident]:
        """Return the incidents of the database."""
        return self.writer.read(lambda database: database.incidents(since, None), list)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon after a problem, on a clock that stands still between two probes."""
    monkeypatch.setattr(journal_writer, "RETRY_INTERVAL", 0.0)


def warnings(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """Return the number of log records that contain `text`."""
    return sum(text in record.getMessage() for record in caplog.records)


def test_a_restart_continues_the_journal(tmp_path: Path) -> None:
    """Incidents, their numbers and the sums are those of the memory of the process before."""
    with Saved(tmp_path) as before:
        before.run("+sss+")
        before.run("ss", Endpoint.TOKEN)
    before.journal.settle()
    with Saved(tmp_path, before.time.restarted()) as after:
        assert after.journal.recent(10) == before.journal.recent(10)
        for endpoint in Endpoint:
            uptimes = [each.journal.uptimes("prod", endpoint) for each in (before, after)]
            assert uptimes[0] == uptimes[1]
        after.run("s", Endpoint.TOKEN)
        assert after.time.opened == []  # not counted again
        after.run("+" * 60 + "sss")
        assert [each.number for each in after.journal.recent(10)] == [3, 2, 1]


def test_the_file_is_private(tmp_path: Path) -> None:
    """Mode 0600, also if it was created with another one; nothing but the database remains after a clean exit."""
    (tmp_path / FILE).touch(0o644)
    with Saved(tmp_path) as saved:
        saved.run("sss")
        saved.save()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {FILE: 0o600, f"{FILE}-wal": 0o600}
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("form", ["link", "fifo", "directory"])
def test_only_regular_files_are_opened(
    tmp_path: Path, suffix: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A link could point anywhere, and a FIFO could block. The file is no damage, so it stays."""
    directory, target = tmp_path / "state", tmp_path / "target"
    directory.mkdir()
    path = directory / f"{FILE}{suffix}"
    if form == "link":
        path.symlink_to(target)
    elif form == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with Saved(directory) as saved:
        wait_for(lambda: saved.writer.problem, "the problem is known")
        saved.run("sss")
        assert "regular file" in saved.writer.problem
        assert len(saved.journal.recent(10)) == 1
    assert not target.exists()
    assert [each.name for each in directory.iterdir()] in ([path.name], sorted([FILE, path.name]))
    assert warnings(caplog, "cannot be saved") == 1


@pytest.mark.parametrize("page", [0, 1, 3, 5])
@pytest.mark.usefixtures("quick_retries")
def test_a_damaged_file_is_set_aside(tmp_path: Path, page: int, caplog: pytest.LogCaptureFixture) -> None:
    """A new one begins, and that is logged once. Only the check of all pages sees a damaged inner page."""
    with Saved(tmp_path) as before:
        for _ in range(30):
            before.run("sss+")
            before.time.elapsed += HOUR
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(page * PAGE_SIZE)
        file.write(os.urandom(PAGE_SIZE))
    (tmp_path / f"{SET_ASIDE}-wal").write_text("of an earlier damage")
    (tmp_path / f"{FILE}-wal").write_text("damaged, too")
    with Saved(tmp_path, before.time.restarted()) as after:
        assert after.journal.recent(10) == []
        after.run("sss")
        after.save()
        assert len(after.stored()) == 1
    assert warnings(caplog, "was damaged") == 1
    assert warnings(caplog, "cannot be saved") == 0
    assert sorted(each.name for each in tmp_path.iterdir()) in (
        [SET_ASIDE, FILE],
        [SET_ASIDE, f"{SET_ASIDE}-wal", FILE],
    )


@pytest.mark.usefixtures("quick_retries")
def test_damage_while_the_monitor_runs_loses_no_cached_incident(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The incidents in memory are saved again, in a new file."""
    with Saved(tmp_path) as saved:
        saved.run("sss+")
        saved.save()

        def damage(database: JournalDatabase) -> None:
            raise DamagedJournalError

        saved.writer.read(damage, lambda: None)
        saved.save()
        assert [each.number for each in saved.stored()] == [1]
    assert warnings(caplog, "was damaged") == 1


@pytest.mark.usefixtures("quick_retries")
def test_a_file_of_a_newer_version_stays_unchanged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The journal works in memory, and says so once."""
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(f"CREATE TABLE future (x); PRAGMA user_version = {VERSION + 1};")
    content = (tmp_path / FILE).read_bytes()
    with Saved(tmp_path) as saved:
        saved.run("sss+")
        assert "newer version" in saved.writer.problem
        assert len(saved.stored()) == 0  # the reader uses the memory
    assert (tmp_path / FILE).read_bytes() == content
    assert warnings(caplog, "cannot be saved") == 1


@pytest.mark.usefixtures("quick_retries")
def test_another_database_is_set_aside(tmp_path: Path) -> None:
    """A file without our schema is no journal."""
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript("CREATE TABLE other (x)")
    with Saved(tmp_path) as saved:
        saved.run("sss")
        saved.save()
    assert (tmp_path / SET_ASIDE).exists()


@pytest.mark.usefixtures("quick_retries")
def test_a_missing_directory_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The journal works in memory until the directory exists; then it is saved, and that is logged."""
    caplog.set_level(logging.INFO)
    directory = tmp_path / "later"
    with Saved(directory) as saved:
        saved.run("sss+")
        wait_for(lambda: saved.writer.problem, "the problem is known")
        number = saved.journal.recent(1)[0].number
        assert number > START
        directory.mkdir()
        saved.save()
        wait_for(lambda: not saved.writer.problem, "the journal is saved again")
        assert [each.number for each in saved.stored()] == [number]
    assert warnings(caplog, "cannot be saved") == 1
    assert warnings(caplog, "can be saved again") == 1


class Process:
    """A process with a journal (`tests.support.journal_process`)."""

    def __init__(self, directory: Path) -> None:
        arguments = [sys.executable, "-m", "tests.support.journal_process", str(directory)]
        with (directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
            )

    def send(self, line: str) -> dict[str, Any]:
        """Let the process act; return its incidents and its problem."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        state: dict[str, Any] = json.loads(self.process.stdout.readline())
        return state

    def kill(self) -> None:
        """Kill the process without a warning."""
        self.process.kill()
        self.process.communicate()

    def close(self) -> None:
        """Let the process close its journal and end."""
        self.process.communicate()
        assert self.process.returncode == 0


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a state directory."""
    tmp_path.chmod(0o700)
    return tmp_path


def test_a_killed_process_loses_nothing_that_was_saved(directory: Path) -> None:
    """After kill -9, the journal is the memory at the last save: the requested one, or a later one that was due."""
    process = Process(directory)
    process.send("+sss+")
    process.send("++sss")
    states = [process.send("saved"), process.send("s"), process.send("s")]
    process.kill()
    with Saved(directory) as after:
        incidents = {str(each.number): incident_json.encode(each) for each in after.journal.recent(10)}
        assert incidents in [state["incidents"] for state in states]
        assert after.journal.open_incident("prod", Endpoint.PING) is not None


def test_a_process_that_is_killed_during_its_saves_leaves_a_sound_file(directory: Path) -> None:
    """The file is not damaged, at any moment of the end."""
    for number in range(4):
        process = Process(directory)
        assert process.process.stdin is not None
        process.send("+sss+")
        process.process.stdin.write("sss+\n" * 200)
        process.process.stdin.flush()
        assert process.process.stdout is not None
        for _ in range(number * 20):
            process.process.stdout.readline()
        process.kill()
    assert not (directory / SET_ASIDE).exists()
    with Saved(directory) as after:
        assert after.writer.problem == ""
        assert after.journal.recent(1)
    assert "damaged" not in (directory / "log").read_text()


def test_a_full_disk_is_no_damage(directory: Path) -> None:
    """The journal goes on in memory, says so once, and is complete when there is room again."""
    process = Process(directory)
    process.send("+sss+")
    process.send("saved")
    process.send("limit 100")
    process.send("+" * 60 + "sss+")
    assert process.send("problem")["problem"]
    state = process.send("+" * 60 + "sss")
    assert len(state["incidents"]) == 3
    process.send("unlimited")
    assert process.send("saved")["problem"] == ""
    process.close()
    with Saved(directory) as after:
        assert {str(each.number): incident_json.encode(each) for each in after.journal.recent(10)} == state["incidents"]
    log = (directory / "log").read_text()
    assert log.count("cannot be saved") == 1
    assert log.count("can be saved again") == 1
    assert "damaged" not in log
    assert not (directory / SET_ASIDE).exists()


def test_readers_wait_two_seconds_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk delays no page longer, and no probe at all."""
    monkeypatch.setattr(journal_writer, "READ_TIMEOUT", 0.05)
    entered, proceed = threading.Event(), threading.Event()

    def slow(_: object) -> bool:
        entered.set()
        return proceed.wait(60)

    with Saved(tmp_path) as saved:
        while not entered.is_set():  # on a busy machine, the thread may not take up a request in time
            with pytest.raises(JournalBusyError):
                saved.writer.read(slow, lambda: True)
        saved.run("sss+")  # while the thread is busy
        assert len(saved.journal.recent(10)) == 1
        for _ in range(journal_writer._MAX_REQUESTS + 1):
            with pytest.raises(JournalBusyError):
                saved.writer.read(lambda _: True, lambda: True)
        proceed.set()
        monkeypatch.setattr(journal_writer, "READ_TIMEOUT", 60.0)
        wait_for(saved.writer._requests.empty, "the thread has caught up")
        assert saved.stored() == saved.journal.recent(10)


def test_a_journal_without_a_directory_needs_no_sqlite() -> None:
    """Readers use the memory."""
    code = (
        "import sys; from tests.support.journals import *; from monitor.reporting.journal_writer import JournalWriter\n"
        "time = JournalTime('prod'); journal = journal_of(time, 'prod')\n"
        "writer = JournalWriter(journal, None, time.clock); writer.start(); run(journal, time, 'sss')\n"
        "assert writer.read(lambda database: None, lambda: journal.recent(5)); writer.close()\n"
        "assert 'monitor.reporting.journal_database' not in sys.modules"  # coverage imports sqlite3 itself
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_journal_without_a_directory_collects_nothing_to_save() -> None:
    """The memory would grow with each hour."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    writer = JournalWriter(journal, None, time.clock)
    writer.start()
    run(journal, time, "+sss")
    wait_for(lambda: not journal._unsaved, "the changes are discarded")
    assert len(journal.recent(5)) == 1
    writer.close()


# Limits, and the totals on disk.


@pytest.fixture
def database(tmp_path: Path) -> Iterator[JournalDatabase]:
    """Return an empty database."""
    made = JournalDatabase(tmp_path)
    yield made
    made.close()


def ended(count: int) -> list[Incident]:
    """Return incidents that ended, one per hour."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    run(journal, time, "sss+")
    (incident,) = journal.recent(1)
    values = {name: getattr(incident, name) for name in Incident.__dataclass_fields__}
    return [
        Incident(**values | {"number": number, "begin": START + number * HOUR, "end": START + number * HOUR + 60})
        for number in range(1, count + 1)
    ]


def test_old_incidents_and_totals_are_deleted(database: JournalDatabase) -> None:
    """After 400 days; totals per hour after 40 days, while those per day remain."""
    hour = int(START // HOUR)
    database.save(ended(3), {("prod", Endpoint.PING, hour): (10.0, 1.0)})
    database.prune(START + 40 * DAY + 2 * HOUR)
    loaded = database.load(START, 10)
    assert (len(loaded.incidents), loaded.hours, len(loaded.days)) == (3, (), 1)
    database.prune(START + HOUR + 60 + 400 * DAY + 1)
    assert [each.number for each in database.incidents(None, None)] == [3, 2]
    database.prune(START + 402 * DAY)
    loaded = database.load(START, 10)
    assert (loaded.incidents, loaded.days, loaded.last_number) == ((), (), 3)


def test_a_wall_clock_that_is_years_ahead_deletes_nothing(tmp_path: Path) -> None:
    """Neither at a start with a wrong clock nor after a step: an hour later it has usually been corrected."""
    with Saved(tmp_path) as saved:
        saved.run("sss+")
    late = JournalTime("prod", wall=START + 800 * DAY)
    with Saved(tmp_path, late) as saved:
        saved.run("+")
        saved.save()
        late.wall = START
        late.elapsed += 1.5 * HOUR
        saved.run("+")
        saved.prune()
        late.wall += 800 * DAY
        late.elapsed += 1.5 * HOUR
        saved.run("+")
        saved.prune()
        assert [each.number for each in saved.stored()] == [1]


def test_totals_of_a_wall_clock_that_was_years_ahead_are_not_loaded(database: JournalDatabase) -> None:
    """They would push the days of the last year out of memory."""
    hour = int(START // HOUR)
    ahead = hour + 20 * 365 * 24
    database.save([], {("prod", Endpoint.PING, each): (10.0, 1.0) for each in (hour, ahead)})
    loaded = database.load(START, 10)
    assert [each[1] for each in loaded.hours] == [hour]
    assert [each[1] for each in loaded.days] == [hour // 24]


def test_the_number_of_incidents_is_limited(database: JournalDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are deleted."""
    monkeypatch.setattr(journal_database, "MAX_INCIDENTS", 5)
    database.save(ended(8), {})
    database.prune(START)
    assert [each.number for each in database.incidents(None, None)] == [8, 7, 6, 5, 4]


def test_totals_between_two_times(database: JournalDatabase) -> None:
    """To whole hours in the last weeks, to whole days before."""
    hour = int(START // HOUR)
    totals = {("prod", Endpoint.PING, hour + each): (3600.0, 36.0) for each in range(48)}
    database.save([], totals)
    database.save([], {("prod", Endpoint.PING, hour): (0.0, 1.0)})  # added
    totals_between = database.totals(START, START + 5 * HOUR, START + 2 * DAY)
    assert totals_between == {("prod", "ping"): (5 * 3600.0, 5 * 36.0 + 1.0)}
    day = START // DAY * DAY
    late = database.totals(day + DAY, day + 2 * DAY, START + 300 * DAY)
    assert late == {("prod", "ping"): (24 * 3600.0, 24 * 36.0)}


def test_a_row_of_another_form_is_left_out(database: JournalDatabase) -> None:
    """The rest of the journal can be read."""
    database.save(ended(2), {})
    database._connection.execute("UPDATE incidents SET content = '{}' WHERE number = 1")
    assert [each.number for each in database.incidents(None, None)] == [2]
    assert database.incident(1) is None
    assert database.incident(2) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    st.lists(st.text(alphabet="+sin", min_size=1, max_size=30), max_size=5),
    st.lists(st.floats(0, 5000), min_size=5, max_size=5),
)
def test_what_was_saved_is_what_was_cached(
    tmp_path_factory: pytest.TempPathFactory, courses: list[str], pauses: list[float]
) -> None:
    """Incidents and totals, after any course of probes and saves."""
    time = JournalTime("prod")
    journal = journal_of(time, "prod")
    with closing(JournalDatabase(tmp_path_factory.mktemp("state"))) as database:
        for course, pause in zip(courses, pauses, strict=False):
            run(journal, time, course)
            time.elapsed += pause
            unsaved = journal.take_unsaved()
            database.save(unsaved.incidents.values(), unsaved.totals)
        loaded = database.load(time.clock.wall(), 100)
        assert sorted(loaded.incidents, key=lambda each: -each.number) == sorted(
            journal.recent(100), key=lambda each: -each.number
        )
        after = journal_of(time.restarted(), "prod", is_loaded=False)
        after.load(loaded)
        _assert_equal(after, journal)


def _assert_equal(after: Journal, before: Journal) -> None:
    assert after.recent(100) == before.recent(100)
    assert after.open_incident("prod", Endpoint.PING) == before.open_incident("prod", Endpoint.PING)
    for mine, theirs in zip(after.uptimes("prod", Endpoint.PING), before.uptimes("prod", Endpoint.PING), strict=True):
        assert (mine.observed, mine.down) == pytest.approx((theirs.observed, theirs.down))


def test_the_names_of_reasons_are_stored() -> None:
    """A journal of today must be readable by later versions, so the values are part of the format."""
    (incident,) = ended(1)
    assert '"reasons":[["server_error",3]]' in incident_json.encode(incident)
    assert Reason.SERVER_ERROR.value == "server_error"
