"""What the simulator's hosts were asked: a record of every request, without its secrets, to be waited for."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_KEPT = 10_000  # a soak sends more; what is older is counted only


class Host(StrEnum):
    """The two hosts of an environment."""

    TOKEN = "token"  # the authorization server
    API = "api"  # the Client API


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request, as it came in. No value of a credential, a token or a form field is in it."""

    when: float  # Unix seconds, when the whole request had been read
    environment: str
    host: Host
    connection: int  # counted from 1, over all hosts of a simulator
    method: str
    path: str  # of a query, only the names
    headers: Mapping[str, str]  # names in lower case; of an authorization, only the scheme
    fields: tuple[str, ...]  # names of the form's fields, in their order
    status: int | None  # what it is answered; None: nothing, or nothing that is HTTP
    fresh: bool  # the first request of its connection
    tls_version: str | None  # as `ssl` names it, e.g. TLSv1.3; None without TLS

    @property
    def user_agent(self) -> str:
        """What the client says it is."""
        return self.headers.get("user-agent", "")

    def __str__(self) -> str:
        """One line for a terminal."""
        clock = time.strftime("%H:%M:%S", time.gmtime(self.when))
        form = f" form={','.join(self.fields)}" if self.fields else ""
        return (
            f"{clock} {self.environment} {self.host} connection={self.connection}{'' if self.fresh else ' (again)'} "
            f"{self.method} {self.path} authorization={self.headers.get('authorization', 'none')}{form} "
            f"-> {self.status or 'no answer'}"
        )


class RequestLog:
    """The newest requests, and how many connections and requests each host has seen. Safe among threads."""

    def __init__(self) -> None:
        self.on_record: Callable[[RequestRecord], None] | None = (
            None  # told of every request, in the thread that answers it
        )
        self._changed = threading.Condition()
        self._records: deque[RequestRecord] = deque(maxlen=_KEPT)
        self._requests: Counter[tuple[str, Host]] = Counter()
        self._connections: Counter[tuple[str, Host]] = Counter()

    def connected(self, environment: str, host: Host) -> int:
        """Count a connection and give its number."""
        with self._changed:
            self._connections[environment, host] += 1
            self._changed.notify_all()
            return self._connections.total()

    def add(self, record: RequestRecord) -> None:
        """Keep a record and wake up who waits for it."""
        with self._changed:
            self._records.append(record)
            self._requests[record.environment, record.host] += 1
            self._changed.notify_all()
        if self.on_record is not None:
            self.on_record(record)

    def records(self, environment: str | None = None, host: str | None = None) -> list[RequestRecord]:
        """Every kept request, or those of one environment or host; the oldest first."""
        with self._changed:
            return [r for r in self._records if environment in (None, r.environment) and host in (None, r.host)]

    def requests(self, environment: str | None = None, host: str | None = None) -> int:
        """How many requests came, kept or not."""
        return self._sum(self._requests, environment, host)

    def connections(self, environment: str | None = None, host: str | None = None) -> int:
        """How many connections were accepted, with a request or without."""
        return self._sum(self._connections, environment, host)

    def wait_for_requests(
        self, count: int, timeout: float = 10.0, *, environment: str | None = None, host: str | None = None
    ) -> list[RequestRecord]:
        """Return as soon as so many requests have come since the start; they are logged before they are answered.

        Raises TimeoutError after `timeout` seconds, saying how many had come.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.requests(environment, host) >= count, timeout):
                came = self.requests(environment, host)
                raise TimeoutError(f"{came} of {count} requests came within {timeout:g} s")
            return self.records(environment, host)

    def wait_for_connections(
        self, count: int, timeout: float = 10.0, *, environment: str | None = None, host: str | None = None
    ) -> None:
        """Return as soon as so many connections were accepted since the start; raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.connections(environment, host) >= count, timeout):
                came = self.connections(environment, host)
                raise TimeoutError(f"{came} of {count} connections came within {timeout:g} s")

    def _sum(self, counts: Counter[tuple[str, Host]], environment: str | None, host: str | None) -> int:
        with self._changed:
            return sum(n for (e, h), n in counts.items() if environment in (None, e) and host in (None, h))
