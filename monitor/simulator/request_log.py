"""The request log of the simulator: a record of each request, without its secrets. Tests can wait for requests."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

_MAX_RECORDS = 10_000  # a soak test sends more; older requests are only counted


class Host(StrEnum):
    """The two hosts of an environment."""

    TOKEN = "token"  # the authorization server
    API = "api"  # the Client API


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One received request. It contains no value of a credential, a token or a form field."""

    when: float  # Unix seconds, at the end of the request
    environment: str
    host: Host
    connection: int  # number of the connection, from 1, over all hosts of a simulator
    method: str
    path: str  # with the names of a query, not its values
    headers: Mapping[str, str]  # names in lower case; the scheme of an authorization only
    fields: tuple[str, ...]  # names of the form fields, in their order
    status: int | None  # of the response; None: no response, or one that is not HTTP
    fresh: bool  # the first request of its connection
    tls_version: str | None  # as `ssl` names it, e.g. TLSv1.3; None without TLS

    @property
    def user_agent(self) -> str:
        """Return the User-Agent of the client."""
        return self.headers.get("user-agent", "")

    def __str__(self) -> str:
        """Return one line for a terminal."""
        clock = time.strftime("%H:%M:%S", time.gmtime(self.when))
        form = f" form={','.join(self.fields)}" if self.fields else ""
        return (
            f"{clock} {self.environment} {self.host} connection={self.connection}{'' if self.fresh else ' (reused)'} "
            f"{self.method} {self.path} authorization={self.headers.get('authorization', 'none')}{form} "
            f"-> {self.status or 'no response'}"
        )


class RequestLog:
    """The latest requests, and the number of connections and requests of each host. Thread-safe."""

    def __init__(self) -> None:
        self.on_record: Callable[[RequestRecord], None] | None = (
            None  # called for each request, in the thread that responds to it
        )
        self._changed = threading.Condition()
        self._records: deque[RequestRecord] = deque(maxlen=_MAX_RECORDS)
        self._requests: Counter[tuple[str, Host]] = Counter()
        self._connections: Counter[tuple[str, Host]] = Counter()

    def connected(self, environment: str, host: Host) -> int:
        """Count a connection and return its number."""
        with self._changed:
            self._connections[environment, host] += 1
            self._changed.notify_all()
            return self._connections.total()

    def add(self, record: RequestRecord) -> None:
        """Store a record and wake up the threads that wait for it."""
        with self._changed:
            self._records.append(record)
            self._requests[record.environment, record.host] += 1
            self._changed.notify_all()
        if self.on_record is not None:
            self.on_record(record)

    def records(self, environment: str | None = None, host: str | None = None) -> list[RequestRecord]:
        """Return the stored requests, or those of one environment or host; the oldest first."""
        with self._changed:
            return [r for r in self._records if environment in (None, r.environment) and host in (None, r.host)]

    def requests(self, environment: str | None = None, host: str | None = None) -> int:
        """Return the number of received requests, stored or not."""
        return self._sum(self._requests, environment, host)

    def connections(self, environment: str | None = None, host: str | None = None) -> int:
        """Return the number of accepted connections, with or without a request."""
        return self._sum(self._connections, environment, host)

    def wait_for_requests(
        self, count: int, timeout: float = 10.0, *, environment: str | None = None, host: str | None = None
    ) -> list[RequestRecord]:
        """Return the records as soon as `count` requests were received since the start. A record precedes its response.

        Raises TimeoutError after `timeout` seconds, with the number of received requests.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.requests(environment, host) >= count, timeout):
                received = self.requests(environment, host)
                raise TimeoutError(f"{received} of {count} requests received within {timeout:g} s")
            return self.records(environment, host)

    def wait_for_connections(
        self, count: int, timeout: float = 10.0, *, environment: str | None = None, host: str | None = None
    ) -> None:
        """Return as soon as `count` connections were accepted since the start.

        Raises TimeoutError after `timeout` seconds, with the number of accepted connections.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.connections(environment, host) >= count, timeout):
                accepted = self.connections(environment, host)
                raise TimeoutError(f"{accepted} of {count} connections accepted within {timeout:g} s")

    def _sum(self, counts: Counter[tuple[str, Host]], environment: str | None, host: str | None) -> int:
        with self._changed:
            return sum(n for (e, h), n in counts.items() if environment in (None, e) and host in (None, h))
