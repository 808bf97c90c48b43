"""Servers whose API accepts a new token only some seconds after its login."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.model import Endpoint, Reason
from monitor.simulator.personalities import PERSONALITIES
from monitor.simulator.personality import Personality
from tests.reporting.test_metrics import SETTINGS
from tests.support.day import CREDENTIALS, HOUR, UNAUTHORIZED, Day
from tests.support.virtual_server import MINUTE, ServerDay

SAYS_403 = "django-oauth-toolkit"  # and nothing else, for a token that it does not know
by_token = pytest.mark.parametrize(
    "server",
    [server for name, server in PERSONALITIES.items() if name != SAYS_403],
    ids=lambda server: server.name,
)


@by_token
@pytest.mark.parametrize("delay", [2.0, 3.0])
def test_a_ping_that_comes_too_early_for_its_token_fails_no_run(server: Personality, delay: float) -> None:
    """Every ping run with a token succeeds, and one Result per token reports the lag, which is below the delay."""
    day = ServerDay(replace(server, token_delay=delay))
    day.run(HOUR - MINUTE)  # no login without a ping at the end
    with_token = [outcome for outcome in day.outcomes(Endpoint.PING) if outcome is not Reason.NO_TOKEN]
    assert set(with_token) == {None}
    lags = [result.token_lag for result in day.results if result.token_lag is not None]
    refused = [result for result in day.results if result.rejects_token and not result.unauthenticated]
    assert len(lags) == len(refused) == len(day.granted_at()) > 10
    assert all(0.0 < lag < delay for lag in lags)
    assert not any(result.token_rejected for result in day.results)


@by_token
def test_a_token_that_is_never_accepted_fails_the_run_after_ten_seconds(server: Personality) -> None:
    """The first failed run with a token is `unauthorized`, 10 to 16 seconds after the login, and rejects the token."""
    day = ServerDay(replace(server, token_delay=HOUR))
    day.run(2 * MINUTE)
    began = day.wall + 1000 + day.granted_at()[0]
    failed = next(result for result in day.results if result.endpoint is Endpoint.PING and result.token_rejected)
    assert failed.reason is Reason.UNAUTHORIZED
    assert 10.0 <= failed.started_at - began <= 16.0
    assert not any(result.success for result in day.results if result.endpoint is Endpoint.PING)


def test_an_empty_403_to_a_young_token_fails_the_run() -> None:
    """A 403 without `invalid_token` may come from an allowlist as well, so the run is `forbidden` at once."""
    day = ServerDay(replace(PERSONALITIES[SAYS_403], token_delay=2.0))
    day.run(MINUTE)
    assert day.outcomes(Endpoint.PING) == [Reason.FORBIDDEN, None]


@pytest.mark.parametrize("lifetime", [2.0, 5.0, 8.0, 11.0, 12.0, 29.0, HOUR])
@pytest.mark.parametrize("ping_interval,auth_interval", [(30.0, 300.0), (5.0, 300.0), (5.0, 5.0), (1.0, 3.0)])
def test_tokens_that_are_always_young_do_not_hide_an_api_that_refuses_them(
    ping_interval: float, auth_interval: float, lifetime: float
) -> None:
    """Every failed run is `unauthorized`, and the first comes within a minute."""
    settings = replace(SETTINGS, credentials=CREDENTIALS, ping_interval=ping_interval, auth_interval=auth_interval)
    day = Day(lambda day, _: day.granted(lifetime), answer=lambda *_: UNAUTHORIZED, settings=settings)
    day.run(MINUTE)
    assert set(day.outcomes(Endpoint.PING)) == {Reason.UNAUTHORIZED}
