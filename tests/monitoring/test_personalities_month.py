"""Right and wrong credentials on every known kind of server, over a day and over a month of virtual time."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from monitor.config.settings import EnvironmentCredentials
from monitor.model import Endpoint
from monitor.monitoring import state
from monitor.simulator.message import SimulatedResponse
from monitor.simulator.personalities import MISSING_FIELD_500, PERSONALITIES
from monitor.simulator.personality import Check, Personality
from tests.support.virtual_server import MINUTE, WRONG_PASSWORD, WRONG_SECRET, VirtualServerHarness
from tests.support.virtual_time import DAY, HOUR

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # it would take most of the time, and the tests of the modules execute the same lines
]

LIMIT = 3  # the default of rejected_logins
LOCK_AFTER = 5
MONTH = 30  # days
every_server = pytest.mark.parametrize("server", PERSONALITIES.values(), ids=PERSONALITIES)
CHECK_CLIENT = [server for server in PERSONALITIES.values() if Check.CLIENT in server.rules.checks]
every_server_that_checks_the_client = pytest.mark.parametrize("server", CHECK_CLIENT, ids=lambda server: server.name)
every_rejection = pytest.mark.parametrize(
    "server, credentials",
    [
        *(pytest.param(server, WRONG_PASSWORD, id=f"{name}-password") for name, server in PERSONALITIES.items()),
        *(pytest.param(server, WRONG_SECRET, id=f"{server.name}-secret") for server in CHECK_CLIENT),
    ],
)


@every_server
def test_right_credentials_log_in_at_first_contact_and_stay_logged_in_for_a_day(server: Personality) -> None:
    """The first run is granted, or the second if its first request had no refusal, and no later login or ping fails."""
    harness = VirtualServerHarness(server)
    harness.run(2 * HOUR)  # two lifetimes of a token; the 2,600 other pings of the day would repeat these
    harness.run_sparsely(1)
    first = harness.granted_at()[0]
    assert first < (MINUTE if server is MISSING_FIELD_500 else 1)
    assert len([sent for sent in harness.logins() if sent <= first]) <= 2
    assert all(
        result.success
        for result in harness.login_results()
        if result.measurement.started_at > harness.wall + 1000 + first
    )
    assert set(harness.outcomes(Endpoint.PING)[1:]) == {None}
    assert len(harness.granted_at()) == pytest.approx((DAY + 2 * HOUR) / harness.settings.auth_interval, abs=1)
    assert not harness.environment.credentials_rejected


@every_server
def test_a_wrong_password_is_rejected_soon_and_sent_three_times_in_a_month(server: Personality) -> None:
    """The server's message is reported within five minutes, and the account is not locked after the month."""
    harness = contact(server, WRONG_PASSWORD)
    assert_rejected(harness, server.wrong_password)
    harness.run_sparsely(MONTH)
    assert_stopped(harness)
    assert harness.right_password_is_granted()


@every_server_that_checks_the_client
def test_a_wrong_client_secret_is_rejected_soon_and_sent_three_times_in_a_month(server: Personality) -> None:
    """The server's message is reported within five minutes, and the user has no failed login after the month."""
    harness = contact(server, WRONG_SECRET)
    assert_rejected(harness, server.wrong_secret)
    harness.run_sparsely(MONTH)
    assert_stopped(harness)
    assert harness.registry.failed_logins == 0
    assert harness.right_password_is_granted()


def test_a_server_that_does_not_check_the_client_takes_a_wrong_client_secret() -> None:
    """FastAPI's form reads the user only, so there is nothing to reject."""
    harness = contact(PERSONALITIES["fastapi"], WRONG_SECRET)
    assert harness.granted_at()
    assert not harness.environment.credentials_rejected


@every_rejection
def test_daily_restarts_with_a_state_directory_add_no_request(
    server: Personality, credentials: EnvironmentCredentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login requests of a month are those of a month without restarts, and the rejection stays reported."""
    cheap_fingerprints(monkeypatch)
    harness, steady = contact(server, credentials, tmp_path), contact(server, credentials)
    for _ in range(MONTH):
        harness.run_sparsely(1)
        harness.restart()
        harness.run(MINUTE)
    steady.run_sparsely(1)
    assert harness.names() == steady.names()
    assert_stopped(harness)
    assert harness.right_password_is_granted()


@every_server
def test_restarts_during_the_attempts_add_no_attempt(
    server: Personality, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password is counted at most three times too if the process restarts between the attempts."""
    cheap_fingerprints(monkeypatch)
    harness = VirtualServerHarness(server, WRONG_PASSWORD, state_dir=tmp_path)
    harness.registry.lock_after = LOCK_AFTER
    for pause in (1, 40, 100, 1000, 100, 1000, 3000):
        harness.run(pause)
        harness.restart()
    harness.run_sparsely(1)
    assert_stopped(harness)
    assert harness.right_password_is_granted()


@every_server
def test_every_start_without_a_state_directory_is_a_first_contact(server: Personality) -> None:
    """Each process sends the wrong password as often as the first, so five of them lock a user after five failures."""
    harness = contact(server, WRONG_PASSWORD)
    harness.run_sparsely(1)
    first, counted = harness.names(), harness.registry.failed_logins
    for _ in range(4):
        harness.restart()
        harness.run(5 * MINUTE)
        harness.run_sparsely(1)
    assert harness.names() == first * 5
    assert harness.registry.failed_logins == 5 * counted
    assert harness.registry.locked


def contact(
    server: Personality, credentials: EnvironmentCredentials, state_dir: Path | None = None
) -> VirtualServerHarness:
    """Return a day after its first five minutes, on a server that locks the user after five failures in a row."""
    harness = VirtualServerHarness(server, credentials, state_dir=state_dir)
    harness.registry.lock_after = LOCK_AFTER
    harness.run(5 * MINUTE)
    return harness


def assert_rejected(harness: VirtualServerHarness, refusal: SimulatedResponse) -> None:
    """Assert that the newest decisive Result reports the rejection with the server's own message."""
    newest = harness.login_runs()[-1]
    assert newest.run.credentials_rejected
    assert harness.environment.credentials_rejected
    assert own_message(refusal) in newest.verdict.detail + newest.run.other_refusal


def assert_stopped(harness: VirtualServerHarness) -> None:
    """Assert that logins have stopped at the limit, and that the account is not locked."""
    assert harness.environment.credentials_rejected
    assert harness.environment.backoff(Endpoint.TOKEN) == math.inf
    assert sum(result.verdict.refused for result in harness.login_results()) == LIMIT
    assert harness.registry.failed_logins <= LIMIT
    assert not harness.registry.locked


def own_message(refusal: SimulatedResponse) -> str:
    """Return the text of a refusal that its server wrote for a reader."""
    if not refusal.body:
        return refusal.reason
    try:
        body = json.loads(refusal.body)
    except ValueError:
        return refusal.body.decode()
    return str(next(body[name] for name in ("error_description", "detail", "message", "error") if name in body))


def cheap_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash credentials in one round: the 50,000 of each restart would cost this module half a minute."""
    monkeypatch.setattr(state, "_ROUNDS", 1)
