"""`set-secret` with a service that refuses a value: the old value is stored again, and no message has a value."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from monitor import cli
from monitor.commands import set_secret
from monitor.commands.service_change import RefusedError
from monitor.config.sources import Key
from monitor.errors import DaemonError, ReloadRefusedError
from monitor.installation import systemd
from monitor.installation.stores import Store, Way
from monitor.installation.unit_text import parse

KEY: Key = ("environments", "prod", "password")
OLD, NEW = "the-old-canary", "the-new-canary"
GROUP = grp.getgrgid(os.getgid()).gr_name  # an unprivileged process can give a file to its own group


@pytest.fixture(params=[Way.ROOT_ONLY, Way.GROUP_READABLE])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return a store with the old value, of a service that runs."""
    store = Store(request.param, tmp_path / "secrets", GROUP)
    store.prepare()
    store.write(KEY, OLD)
    monkeypatch.setattr(systemd, "require_systemd", lambda _remedy: None)
    monkeypatch.setattr(systemd, "unit", lambda _name: parse(""))
    monkeypatch.setattr(systemd, "is_running", lambda: True)
    monkeypatch.setattr(set_secret, "DIRECTORY", tmp_path)
    monkeypatch.setattr(set_secret, "forbid_core_dumps", lambda: None)
    monkeypatch.setattr(set_secret, "store_in_use", lambda: store)
    monkeypatch.setattr(set_secret, "read_value", lambda _key: NEW)
    monkeypatch.setattr(set_secret, "restart", lambda: "the service was restarted")
    return store


def replace(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> int:
    """Run the command; the service accepts the value, or fails with this error."""

    def put_into_force(_way: Way) -> str:
        if error is not None:
            raise error
        return "done"

    monkeypatch.setattr(set_secret, "put_into_force", put_into_force)
    return cli.main(["set-secret", "prod", "password", "--stdin"])


def test_an_accepted_value_is_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The outcome is printed."""
    assert replace(monkeypatch, None) == 0
    assert store.read(KEY) == NEW
    output = capsys.readouterr().out
    assert f"prod password: stored in {store.path(KEY)}\ndone\n" in output
    assert NEW not in output


def test_a_refused_value_is_replaced_by_the_old_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason of the service and the state of the value are in the message."""
    message = "a setting is wrong"
    is_reread = store.way is Way.GROUP_READABLE
    error: Exception = ReloadRefusedError(message, exit_status=1) if is_reread else RefusedError(message)
    assert replace(monkeypatch, error) == 1
    assert store.read(KEY) == OLD
    outcome = "stays in force" if is_reread else "the service runs with it"
    errors = capsys.readouterr().err
    assert errors == f"tigr-monitor: {message}\n  the old value is stored again, and {outcome}\n"


def test_without_a_response_the_new_value_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is known about the value, so the message has the command that puts it into force."""
    assert replace(monkeypatch, DaemonError("no response", exit_status=1)) == 1
    assert store.read(KEY) == NEW
    assert "the new value is stored; put it into force: systemctl restart tigr-monitor" in capsys.readouterr().err
