"""The state directory: links, temporary files, sizes, locks between monitors and checks, and who else can write."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import ConfigError
from monitor.model import FieldNames
from monitor.monitoring.negotiation import LoginRecord
from monitor.monitoring.state import LoginKey, State, StateInUseError
from monitor.monitoring.state_directory import why_unsafe
from monitor.monitoring.state_file import MAX_SIZE
from monitor.simulator import Simulator
from monitor.simulator.faults import HangAfterHandshake
from tests.support.canaries import simulator_with_canaries
from tests.support.process import PATIENCE, Monitor, clean, command, run, wait_for

URL = "https://auth.example.com/oauth/token"
KEY = LoginKey(URL, 7)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Both environments, with secrets that can be found again."""
    with simulator_with_canaries() as running:
        yield running


def names(directory: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return sorted(path.name for path in directory.iterdir())


def counted(directory: Path) -> int:
    """Return the count in the state file, for a reader that does not save."""
    state = State(directory, shared=True)
    try:
        return state.record(KEY).counted
    finally:
        state.close()


@pytest.mark.parametrize("name", ["state.json", "lock", "state.new"])
def test_no_symbolic_link_in_the_directory_is_followed(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its target is neither read, created nor changed; the state is saved."""
    directory, target = tmp_path / "state", tmp_path / "target"
    directory.mkdir()
    if name == "state.json":
        other = State(tmp_path)
        other.save(KEY, LoginRecord(counted=5))
        other.close()
        (tmp_path / "state.json").rename(target)
    elif name == "state.new":
        target.write_text("precious")
    before = target.read_bytes() if target.exists() else None
    (directory / name).symlink_to(target)
    state = State(directory)
    assert state.record(KEY).counted == 0
    state.save(KEY, LoginRecord(counted=1))
    state.close()
    assert (target.read_bytes() if target.exists() else None) == before
    assert (directory / "state.json").is_file()
    assert not (directory / "state.json").is_symlink()
    assert counted(directory) == 1
    reasons = " ".join(str(vars(record)) for record in caplog.records)
    assert ("is a symbolic link" in reasons) == (name != "state.new")


def test_the_directory_itself_may_be_a_symbolic_link(tmp_path: Path) -> None:
    """With `DynamicUser=`, systemd makes one."""
    (tmp_path / "private").mkdir()
    (tmp_path / "state").symlink_to("private")
    state = State(tmp_path / "state")
    state.save(KEY, LoginRecord(counted=1))
    assert (tmp_path / "private" / "state.json").exists()
    state.close()


def test_temporary_files_have_random_names_and_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two saves use two names, the file has mode 0600 from the start, and none stays behind."""
    renamed: list[tuple[str, int]] = []
    rename = os.rename

    def observe(source: str, target: str, **descriptors: int) -> None:
        status = os.stat(source, dir_fd=descriptors["src_dir_fd"], follow_symlinks=False)
        renamed.append((source, stat.S_IMODE(status.st_mode)))
        rename(source, target, **descriptors)

    monkeypatch.setattr(os, "rename", observe)
    state = State(tmp_path)
    for count in (1, 2):
        state.save(KEY, LoginRecord(counted=count))
    state.close()
    assert len({name for name, _ in renamed}) == 2
    assert {mode for _, mode in renamed} == {0o600}
    assert names(tmp_path) == ["lock", "state.json"]


def test_a_failed_save_and_a_killed_one_leave_no_files(tmp_path: Path) -> None:
    """A save that fails removes its temporary file; the next start removes those of killed processes."""
    (tmp_path / "state.json").mkdir()
    (tmp_path / f"state.json.{'0a' * 8}.new").write_text("half")
    (tmp_path / "state.new").write_text("half")
    (tmp_path / "notes.new").write_text("of a person")
    state = State(tmp_path)
    state.save(KEY, LoginRecord(counted=1))
    assert state.why_not_persisted == "the state directory cannot be written"
    state.close()
    assert names(tmp_path) == ["lock", "notes.new", "state.json"]


@pytest.mark.once
def test_the_file_stays_below_the_size_that_is_read(tmp_path: Path) -> None:
    """Entries that are not in use are deleted first, the oldest first; those in use are kept."""
    state = State(tmp_path)
    state.use("prod", KEY)
    state.begin_login(KEY, LoginRecord(counted=1), "prod", 1.0)
    for number in range(300):
        state.save(LoginKey(f"{URL}/{number}", 1), LoginRecord(counted=2), FieldNames.RFC6749)
    state.close()
    assert MAX_SIZE == 64 * 1024
    assert (tmp_path / "state.json").stat().st_size <= MAX_SIZE
    loaded = State(tmp_path, shared=True)
    assert loaded.record(KEY).counted == 1
    assert loaded.record(LoginKey(f"{URL}/299", 1)).counted == 2
    assert loaded.record(LoginKey(f"{URL}/0", 1)).counted == 0
    loaded.close()


@pytest.mark.once
def test_a_state_that_cannot_be_shortened_is_not_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file that can be read stays, and a warning has the reason."""
    state = State(tmp_path)
    state.save(KEY, LoginRecord(counted=1))
    for number in range(300):
        key = LoginKey(f"{URL}/{number}", 1)
        state.use(f"environment {number}", key)
        state.save(key, LoginRecord(counted=2))
    state.close()
    assert "longer than 65536 bytes" in str(caplog.records[-1].__dict__)
    assert (tmp_path / "state.json").stat().st_size <= MAX_SIZE


def test_a_running_check_keeps_no_monitor_from_starting(simulator: Simulator, tmp_path: Path) -> None:
    """The monitor starts while the login of a check hangs, and the check overwrites nothing afterwards."""
    directory = tmp_path / "state"
    directory.mkdir()
    times = {"TIGR_TIMEOUT": "60s", "TIGR_PING_INTERVAL": "1s"}
    settings = simulator.settings() | times | {"TIGR_STATE_DIR": str(directory)}
    token_host = simulator.environment("prod").token_faults
    token_host.set(HangAfterHandshake())
    check = subprocess.Popen(
        command("check", "prod"), env=clean(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for((directory / "state.json").exists, "the check has counted its login")
        token_host.clear()
        with Monitor(settings, tmp_path) as monitor:
            for name in ("prod", "uat"):
                monitor.wait_for(1, "tigr_up", environment=name, endpoint="token")
            assert "cannot be locked" not in monitor.log()
            saved = (directory / "state.json").read_bytes()
            check.send_signal(2)
            check.communicate(timeout=PATIENCE)
            assert (directory / "state.json").read_bytes() == saved
    finally:
        check.kill()
        check.communicate()


def test_a_monitor_waits_for_the_save_of_a_check(tmp_path: Path) -> None:
    """It starts when the check has released the lock."""
    (tmp_path / "lock").touch()
    started: list[State] = []
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        thread = threading.Thread(target=lambda: started.append(State(tmp_path)), daemon=True)
        thread.start()
        thread.join(0.2)
        assert not started
    thread.join(PATIENCE)
    assert started
    with pytest.raises(StateInUseError):
        State(tmp_path)
    started[0].close()


def test_a_check_saves_unless_a_monitor_or_another_check_does(tmp_path: Path) -> None:
    """A monitor that starts meanwhile takes the directory over; the second check reads only."""
    first, second = (State(tmp_path, shared=True) for _ in range(2))
    second.save(KEY, LoginRecord(counted=9))
    assert second.why_not_persisted == "another check uses the state directory and is not informed"
    first.save(KEY, LoginRecord(counted=1))
    assert first.why_not_persisted == ""
    monitor = State(tmp_path)
    assert monitor.record(KEY).counted == 1
    first.save(KEY, LoginRecord(counted=2))
    assert first.why_not_persisted == "the running monitor uses the state directory and is not informed"
    assert counted(tmp_path) == 1
    for state in (first, second, monitor):
        state.close()


def test_a_check_saves_where_locks_do_not_work(tmp_path: Path) -> None:
    """A password that was sent is counted although the lock cannot be opened."""
    for name in ("lock", "lock.check"):
        (tmp_path / name).mkdir()
    state = State(tmp_path, shared=True)
    state.save(KEY, LoginRecord(counted=1))
    assert state.why_not_persisted == ""
    assert counted(tmp_path) == 1


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703, 0o2777])
def test_any_write_access_of_everybody_is_unsafe(mode: int, tmp_path: Path) -> None:
    """The sticky bit does not help: others could create the files first, or hold the lock."""
    tmp_path.chmod(mode)
    assert why_unsafe(tmp_path) == "every user can write to the directory"
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("arguments", [["run"], ["check"]])
def test_a_directory_to_which_everybody_can_write_is_refused(
    arguments: list[str], simulator: Simulator, tmp_path: Path
) -> None:
    """One line names the setting, the danger and the remedy; the status is 2, and nothing is written."""
    directory = tmp_path / "state"
    directory.mkdir()
    directory.chmod(0o1777)
    ended = run(arguments, simulator.settings() | {"TIGR_STATE_DIR": str(directory), "TIGR_LISTEN": "127.0.0.1:0"})
    assert ended.returncode == 2
    assert f"TIGR_STATE_DIR: {directory}: every user can write to the directory" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert names(directory) == []


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o2750, 0o1700])
def test_a_directory_to_which_only_the_owner_can_write_is_accepted(mode: int, tmp_path: Path) -> None:
    """Read access of others is no reason to refuse it: the files have mode 0600."""
    tmp_path.chmod(mode)
    assert why_unsafe(tmp_path) == ""


def in_child(setup: str, path: Path, user: int, group: int) -> str:
    """Return why a directory is unsafe for a user, in a mount namespace of its own after the commands of `setup`."""
    code = (
        "from pathlib import Path; from monitor.monitoring.state_directory import why_unsafe; "
        f"print(why_unsafe(Path({str(path)!r})))"
    )
    script = f'{setup}\nexec setpriv --reuid {user} --regid {group} --clear-groups {sys.executable} -c "$CODE"'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-e", "-c", script],
        env=os.environ | {"CODE": code},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.system
@pytest.mark.parametrize(
    "setup,user,group,expected",
    [
        ("mount -t tmpfs -o mode=2777,gid=65532 none DIR", 65532, 65532, ""),  # an emptyDir with fsGroup
        ("mount -t tmpfs -o mode=2775,gid=65532,uid=99 none DIR", 65532, 65532, ""),  # a persistent volume with fsGroup
        ("mount -t tmpfs -o mode=3777,gid=65532 none DIR", 65532, 65532, ""),  # an emptyDir in memory with fsGroup
        ("chgrp 65532 DIR; chmod 2777 DIR; mount --bind DIR DIR", 65532, 65532, ""),
        ("chgrp 65532 DIR; chmod 2777 DIR", 65532, 65532, "every user can write to the directory"),
        ("mount -t tmpfs -o mode=1777 none DIR", 65532, 65532, "every user can write to the directory"),
        ("mount -t tmpfs -o mode=2777,gid=4 none DIR", 65532, 65532, "every user can write to the directory"),
        ("chown 65532:65532 DIR; chmod 0770 DIR", 65532, 65532, ""),  # the group has no other user
        ("chown 65532:0 DIR; chmod 0775 DIR", 65532, 0, ""),  # OpenShift
        (
            "chown 65532:33 DIR; chmod 0770 DIR",
            65532,
            33,
            "other users of its group (www-data) can write to the directory",
        ),
        (
            "chown 33 DIR; chmod 0755 DIR",
            65532,
            65532,
            "the directory belongs to another user (www-data), who can write to it",
        ),
        ("chown 33 DIR; chmod 0755 DIR", 0, 0, ""),  # an administrator runs a check
    ],
)
def test_who_else_can_write_decides(setup: str, user: int, group: int, expected: str, tmp_path: Path) -> None:
    """Volumes of containers with fsGroup and private groups are accepted, shared directories are refused."""
    directory = tmp_path / "a state"
    directory.mkdir()
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    assert in_child(setup.replace("DIR", f"'{directory}'"), directory, user, group) == expected


@pytest.mark.system
def test_files_of_root_belong_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    """A check by root leaves files that the service can use."""
    os.chown(tmp_path, 65532, 65532)
    state = State(tmp_path, shared=True)
    state.save(KEY, LoginRecord(counted=1))
    state.close()
    assert {path.name: path.stat().st_uid for path in tmp_path.iterdir()} == {
        "lock": 65532,
        "lock.check": 65532,
        "state.json": 65532,
    }


def test_an_unsafe_directory_is_not_used(tmp_path: Path) -> None:
    """The error is one of the settings."""
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="only the monitor can write"):
        State(tmp_path)
    tmp_path.chmod(0o700)
    State(tmp_path).close()
