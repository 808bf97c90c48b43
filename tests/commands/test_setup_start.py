"""The end of `setup` with a running service: it checks after the first login, not before."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from monitor.commands import setup_start
from monitor.commands.setup_start import Changes, check_and_start
from monitor.errors import InstallationError
from monitor.installation import systemd
from monitor.installation.stores import Way

pytestmark = pytest.mark.once

CHANGES = Changes(files=True, units=False)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the steps of `setup` with a service that runs."""
    steps: list[str] = []
    clock = itertools.count(step=20.0)
    monkeypatch.setattr(systemd, "is_running", lambda: True)
    monkeypatch.setattr(systemd, "enable", lambda: steps.append("enable"))
    monkeypatch.setattr(setup_start, "restart", lambda: "the service was restarted")
    monkeypatch.setattr(setup_start, "put_into_force", lambda _way: "reloaded")
    monkeypatch.setattr(setup_start, "daemon_check", lambda *_, **__: steps.append("check"))
    monkeypatch.setattr(setup_start, "report", lambda *_: True)
    fast = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None)
    monkeypatch.setattr(setup_start, "time", fast)
    return steps


def logins(*since: str | None) -> object:
    """Return the status of the monitor with the begin of the state of each login."""
    return {"environments": [{"login": {"since": each}} for each in since]}


def test_the_check_follows_the_first_login(checks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a restart, `setup` waits until every environment has logged in."""
    states = iter([logins(None, None), logins("2026-10-01T00:00:00Z", None), logins(*["2026-10-01T00:00:00Z"] * 2)])
    monkeypatch.setattr(setup_start, "fetch_json", lambda *_: next(states))
    assert check_and_start(Way.ROOT_ONLY, CHANGES, is_asked=False) == 0
    assert checks == ["enable", "check"]
    assert next(states, None) is None


def test_a_login_that_comes_much_later_is_not_checked(checks: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a long ping interval, the message has the command for later."""
    monkeypatch.setattr(setup_start, "fetch_json", lambda *_: logins(None))
    with pytest.raises(InstallationError, match=r"not checked: .* all values are stored\nlater: .* check"):
        check_and_start(Way.ROOT_ONLY, CHANGES, is_asked=False)
    assert checks == ["enable"]


def test_a_reload_needs_no_wait(checks: list[str]) -> None:
    """The service has kept its token, or has logged in with the new secret."""
    assert check_and_start(Way.GROUP_READABLE, CHANGES, is_asked=False) == 0
    assert checks == ["enable", "check"]
