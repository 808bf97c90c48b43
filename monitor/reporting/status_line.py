"""Status line: the state of every environment in one line, for `systemctl status`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Protocol

from monitor.clock import Clock
from monitor.config.maintenance import MaintenanceWindow, utc_text
from monitor.model import Endpoint, Reason, Result

MAX_ENVIRONMENTS = 8  # environments that are listed; of more, only those with failures are listed


class EnvironmentStatus(Protocol):
    """Current state of an environment; `monitor.monitoring.environment` documents the members."""

    @property
    def credentials_rejected(self) -> bool: ...
    def headroom(self) -> float | None: ...
    def backoff(self, endpoint: Endpoint) -> float: ...


class StatusLine:
    """Keeps the most recent outcome of each endpoint. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._outcomes: dict[tuple[str, Endpoint], Reason | None] = {}

    def record(self, result: Result) -> None:
        """Store the outcome of a decisive Result."""
        if result.is_decisive:
            self._outcomes[result.environment, result.endpoint] = result.verdict.reason

    def remove(self, environment: str) -> None:
        """Discard the outcomes of a removed environment."""
        for endpoint in Endpoint:
            self._outcomes.pop((environment, endpoint), None)

    def text(
        self,
        environments: Mapping[str, EnvironmentStatus],
        maintenance: Mapping[str, MaintenanceWindow] = MappingProxyType({}),
    ) -> str:
        """Return the state of these environments as text, with the current windows of maintenance. Times are in UTC."""
        failures = {name: self._failures(name, status) for name, status in environments.items()}
        if len(environments) <= MAX_ENVIRONMENTS:
            return "; ".join(
                self._state(name, status, failures[name], maintenance.get(name))
                for name, status in environments.items()
            )
        down = [name for name, failing in failures.items() if failing]
        listed = [
            self._state(name, environments[name], failures[name], maintenance.get(name))
            for name in down[:MAX_ENVIRONMENTS]
        ]
        more = [f"{len(down) - MAX_ENVIRONMENTS} more with failures"] if len(down) > MAX_ENVIRONMENTS else []
        planned = [f"{len(maintenance)} in planned maintenance"] if maintenance else []
        without = f"{len(environments) - len(down)} of {len(environments)} without failures"
        return "; ".join([*listed, *more, without, *planned])

    def _failures(self, name: str, status: EnvironmentStatus) -> list[str]:
        login, ping = (self._outcomes.get((name, endpoint)) for endpoint in (Endpoint.TOKEN, Endpoint.PING))
        failures = []
        if status.credentials_rejected:
            failures.append(f"LOGIN REJECTED, {self._next_login(status.backoff(Endpoint.TOKEN))}")
        elif login:
            failures.append(f"LOGIN {_state_of(login)}")
        if ping and (ping is not Reason.NO_TOKEN or not failures):  # a failed login explains a missing token
            failures.append(f"PING {_state_of(ping)}")
        return failures

    def _next_login(self, pause: float) -> str:
        if math.isinf(pause):
            return "logins stopped"
        return f"next try {datetime.fromtimestamp(self._clock.wall() + pause, UTC):%H:%M} UTC"

    def _state(
        self, name: str, status: EnvironmentStatus, failures: list[str], window: MaintenanceWindow | None
    ) -> str:
        known = failures or any((name, endpoint) in self._outcomes for endpoint in Endpoint)
        state = [*(failures or ["up"]), _token(status.headroom())] if known else ["starting"]
        planned = [f"planned maintenance until {utc_text(window.end)}"] if window else []
        return f"{name} " + ", ".join([*state, *planned])


def _state_of(reason: Reason) -> str:
    return "UNKNOWN (internal)" if reason is Reason.INTERNAL else f"FAILING ({reason})"


def _token(headroom: float | None) -> str:
    if headroom is None or headroom <= 0:
        return "no token"
    return f"token {headroom:.0f} s" if headroom < 60 else f"token {headroom // 60:.0f} min"
