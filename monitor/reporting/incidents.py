"""Incidents of one endpoint: an outage that was confirmed, or a rejection of credentials."""

from __future__ import annotations

from monitor.model import Endpoint, Reason, Result

# Failed probes in a row that open an incident. A login is rare, and its failure is repeated at the next attempt.
OPENING_FAILURES = {Endpoint.TOKEN: 2, Endpoint.PING: 3}


class Incidents:
    """Decides from the Results of one endpoint when an incident is opened and when it ends. Not thread-safe."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._failures = 0  # in a row
        self._first: Reason | None = None  # reason of the first of them
        self._open = False

    def record(self, result: Result) -> Reason | None:
        """Apply a Result; return the reason of the incident that it opens, else None.

        The reason is that of the first failure in the row. An `internal` failure says nothing about the host, and a
        ping without a token belongs to the incident of the login: both leave everything as it was.
        """
        reason = result.verdict.reason
        if not result.is_decisive or reason in (Reason.INTERNAL, Reason.NO_TOKEN):
            return None
        if reason is None:
            self._failures, self._first, self._open = 0, None, False
            return None
        self._failures += 1
        self._first = self._first or reason
        if self._open or not self._is_confirmed(result):
            return None
        self._open = True
        return self._first

    def _is_confirmed(self, result: Result) -> bool:
        return result.run.credentials_rejected or self._failures >= OPENING_FAILURES[self._endpoint]
