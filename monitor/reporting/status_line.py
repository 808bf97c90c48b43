"""One line in words about every environment: what `systemctl status` shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from monitor.clock import Clock
from monitor.model import Endpoint, Reason, Result

MOST = 8  # environments that are told one by one; of more, only those with trouble
_NAMES = {Endpoint.TOKEN: "LOGIN", Endpoint.PING: "PING"}


class Live(Protocol):
    """What is asked of an environment at the moment. See `monitor.monitoring.environment` for the meanings."""

    @property
    def credentials_rejected(self) -> bool: ...
    def headroom(self) -> float | None: ...
    def backoff(self, endpoint: Endpoint) -> float: ...


class Summary:
    """Remembers how each endpoint fared last. Safe to use from many threads at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: dict[tuple[str, Endpoint], Reason | None] = {}

    def record(self, result: Result) -> None:
        """Take in what decides how an endpoint is."""
        if not (result.retried or result.unauthenticated):
            self._newest[result.environment, result.endpoint] = result.reason

    def forget(self, environment: str) -> None:
        """Drop what is known of an environment that was taken away."""
        for endpoint in Endpoint:
            self._newest.pop((environment, endpoint), None)

    def text(self, environments: Mapping[str, Live]) -> str:
        """Return how these environments are. Times of day are UTC."""
        troubles = {name: self._trouble(name, live) for name, live in environments.items()}
        if len(environments) <= MOST:
            return "; ".join(self._told(name, live, troubles[name]) for name, live in environments.items())
        down = [name for name, trouble in troubles.items() if trouble]
        told = [self._told(name, environments[name], troubles[name]) for name in down[:MOST]]
        more = [f"{len(down) - MOST} more with trouble"] if len(down) > MOST else []
        return "; ".join([*told, *more, f"{len(environments) - len(down)} of {len(environments)} without"])

    def _trouble(self, name: str, live: Live) -> list[str]:
        login, ping = (self._newest.get((name, endpoint)) for endpoint in (Endpoint.TOKEN, Endpoint.PING))
        told = []
        if live.credentials_rejected:
            told.append(f"LOGIN REJECTED, {self._next_login(live.backoff(Endpoint.TOKEN))}")
        elif login:
            told.append(f"LOGIN FAILING ({login})")
        if ping and (ping is not Reason.NO_TOKEN or not told):  # a missing token is the login's trouble, if it has one
            told.append(f"PING FAILING ({ping})")
        return told

    def _next_login(self, pause: float) -> str:
        if math.isinf(pause):
            return "logins stopped"
        return f"next try {datetime.fromtimestamp(self._clock.wall() + pause, UTC):%H:%M} UTC"

    def _told(self, name: str, live: Live, trouble: list[str]) -> str:
        known = trouble or any((name, endpoint) in self._newest for endpoint in Endpoint)
        return f"{name} " + (", ".join([*(trouble or ["up"]), _token(live.headroom())]) if known else "starting")


def _token(headroom: float | None) -> str:
    if headroom is None or headroom <= 0:
        return "no token"
    return f"token {headroom:.0f} s" if headroom < 60 else f"token {headroom // 60:.0f} min"
