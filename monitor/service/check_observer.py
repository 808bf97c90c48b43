"""The observer of a check: turns the requests and Results of one environment into events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from monitor.model import Endpoint, Reason, Responsibility, Result, Role
from monitor.reporting.check_events import (
    CheckEvent,
    certificate_event,
    request_event,
    response_event,
    result_event,
    step_event,
)
from monitor.reporting.incident import Incident
from monitor.reporting.records import record_of
from monitor.tigr.client import PING_PATH
from monitor.tigr.responsibility import responsible

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings
    from monitor.http.exchange import PhaseEnd
    from monitor.tigr.observation import RequestBegin

Emit = Callable[[CheckEvent], None]  # returns at once and does not raise, because it runs inside a probe


class CheckObserver:
    """Turns the requests and Results of one environment into events."""

    def __init__(self, settings: EnvironmentSettings, emit: Emit, *, credentials_rejected: bool = False) -> None:
        """Create an observer. `credentials_rejected`: an earlier login was rejected, and none has succeeded since."""
        self.results: list[Result] = []
        self._earlier = Responsibility.CREDENTIALS if credentials_rejected else Responsibility.UNKNOWN
        self._settings = settings
        self._emit = emit
        self._has_token = False  # whether the last ping has a token
        self._sent: set[tuple[Endpoint, float]] = set()

    def request_begins(self, request: RequestBegin) -> None:
        self._has_token = request.has_token
        self._emit(request_event(self._settings.name, request))

    def phase_ended(self, end: PhaseEnd) -> None:
        self._emit(step_event(self._settings.name, end))

    def request_ended(self, result: Result) -> None:
        self._sent.add(_identity(result))
        self._emit(response_event(result, self.url_of(result), has_token=self._has_token, was_sent=True))

    def recorded(self, result: Result) -> None:
        if _identity(result) not in self._sent:
            self._emit(response_event(result, self.url_of(result), has_token=False, was_sent=False))
        self.results.append(result)
        self._emit(result_event(result, self.url_of(result), self._login_responsibility()))

    def certificate_seen(self, endpoint: Endpoint, expiry: float) -> None:
        self._emit(certificate_event(self._settings.name, endpoint, expiry))

    def last_of(self, endpoint: Endpoint) -> Result | None:
        """Return the last Result of an endpoint, the unauthenticated probe aside."""
        results = (each for each in reversed(self.results) if each.run.role is not Role.UNAUTHENTICATED)
        return next((each for each in results if each.endpoint is endpoint), None)

    def url_of(self, result: Result) -> str:
        """Return the URL of the request of a Result."""
        is_login = result.endpoint is Endpoint.TOKEN
        return self._settings.token_url if is_login else self._settings.api_url + PING_PATH

    def _login_responsibility(self) -> Responsibility:
        failed = [each for each in self.results if each.endpoint is Endpoint.TOKEN and not each.success]
        decisive = [each for each in failed if each.is_decisive]
        return responsible(decisive[-1]) if decisive else self._earlier


def incident_of(failed: Result, url: str) -> Incident:
    """Return an incident that consists of one failure, for its text; `url` is that of the request."""
    record = record_of(failed)
    return Incident(
        number=0,
        environment=failed.environment,
        endpoint=failed.endpoint,
        begin=record.started_at,
        end=None,
        last_observed=None,
        responsibility=responsible(failed),
        reasons=((failed.verdict.reason or Reason.INTERNAL, 1),),
        first=record,
        last=record,
        submission_ids=(record.submission_id,) if record.submission_id else (),
        episodes=1,
        down=record.duration,
        decisions=(),
        url=url,
    )


def _identity(result: Result) -> tuple[Endpoint, float]:
    return result.endpoint, result.measurement.started_at
