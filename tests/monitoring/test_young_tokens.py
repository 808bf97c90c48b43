"""Servers whose API accepts a new token only some seconds after its login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.model import Endpoint, Reason, Role
from monitor.simulator.personalities import PERSONALITIES
from monitor.simulator.personality import Personality
from tests.reporting.test_metrics import SETTINGS
from tests.support.virtual_server import MINUTE, VirtualServerHarness
from tests.support.virtual_time import CREDENTIALS, HOUR, UNAUTHORIZED, VirtualTimeHarness

pytestmark = pytest.mark.once

EMPTY_403 = "django-oauth-toolkit"  # its response to an unknown token has status 403 and no body
by_token = pytest.mark.parametrize(
    "server",
    [server for name, server in PERSONALITIES.items() if name != EMPTY_403],
    ids=lambda server: server.name,
)


@by_token
@pytest.mark.parametrize("delay", [2.0, 3.0])
def test_a_ping_that_comes_too_early_for_its_token_fails_no_run(server: Personality, delay: float) -> None:
    """Every ping run with a token succeeds, and one Result per token reports the lag, which is below the delay."""
    harness = VirtualServerHarness(replace(server, token_delay=delay))
    harness.run(HOUR - MINUTE)  # no login without a ping at the end
    with_token = [outcome for outcome in harness.outcomes(Endpoint.PING) if outcome is not Reason.NO_TOKEN]
    assert set(with_token) == {None}
    lags = [result.run.token_lag for result in harness.results if result.run.token_lag is not None]
    refused = [
        result
        for result in harness.results
        if result.verdict.rejects_token and result.run.role is not Role.UNAUTHENTICATED
    ]
    assert len(lags) == len(refused) == len(harness.granted_at()) > 10
    assert all(0.0 < lag < delay for lag in lags)
    assert not any(result.run.token_rejected for result in harness.results)


@by_token
def test_a_token_that_is_never_accepted_fails_the_run_after_ten_seconds(server: Personality) -> None:
    """The first failed run with a token is `unauthorized`, 10 to 16 seconds after the login, and rejects the token."""
    harness = VirtualServerHarness(replace(server, token_delay=HOUR))
    harness.run(2 * MINUTE)
    began = harness.wall + 1000 + harness.granted_at()[0]
    failed = next(
        result for result in harness.results if result.endpoint is Endpoint.PING and result.run.token_rejected
    )
    assert failed.verdict.reason is Reason.UNAUTHORIZED
    assert 10.0 <= failed.measurement.started_at - began <= 16.0
    assert not any(result.success for result in harness.results if result.endpoint is Endpoint.PING)


def test_an_empty_403_to_a_young_token_fails_the_run() -> None:
    """A 403 without `invalid_token` may come from an allowlist as well, so the run is `forbidden` at once."""
    harness = VirtualServerHarness(replace(PERSONALITIES[EMPTY_403], token_delay=2.0))
    harness.run(MINUTE)
    assert harness.outcomes(Endpoint.PING) == [Reason.FORBIDDEN, None]


@pytest.mark.parametrize("lifetime", [2.0, 5.0, 8.0, 11.0, 12.0, 29.0, HOUR])
@pytest.mark.parametrize("ping_interval,auth_interval", [(30.0, 300.0), (5.0, 300.0), (5.0, 5.0), (1.0, 3.0)])
def test_tokens_that_are_always_young_do_not_hide_an_api_that_refuses_them(
    ping_interval: float, auth_interval: float, lifetime: float
) -> None:
    """Every failed run is `unauthorized`, and the first comes within a minute."""
    settings = replace(SETTINGS, credentials=CREDENTIALS, ping_interval=ping_interval, auth_interval=auth_interval)
    harness = VirtualTimeHarness(
        lambda harness, _: harness.granted(lifetime), ping_response=lambda *_: UNAUTHORIZED, settings=settings
    )
    harness.run(MINUTE)
    assert set(harness.outcomes(Endpoint.PING)) == {Reason.UNAUTHORIZED}
