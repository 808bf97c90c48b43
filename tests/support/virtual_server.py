"""A simulated day of the monitor's `Api` and the simulator's `Registry`, on a virtual clock and without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.http.client import MAX_REASON_PHRASE, ConnectionCheck, Exchange, Fault, Request, Wire
from monitor.model import Endpoint, FieldNames, HostCheck, Phase, Result
from monitor.simulator import message, registry
from monitor.simulator.message import Answer
from monitor.simulator.personality import Personality
from monitor.tigr.client import Api
from tests.reporting.test_metrics import SETTINGS
from tests.support.day import HOUR, Day

RIGHT = EnvironmentCredentials("c-4711", "s3cr3t-71", "u-0815", "pa55-w0rd-42")
WRONG_PASSWORD = replace(RIGHT, password="pa55-0ther-43")
WRONG_SECRET = replace(RIGHT, client_secret="s3cr3t-72")
MINUTE = 60.0
_STEP = 0.002  # seconds that each phase of an exchange takes


class Loss(Enum):
    """Failures of a login request that leave no response."""

    DROPPED = auto()  # after the server has read it
    TIMED_OUT = auto()  # after the server has read it
    NO_CONNECTION = auto()


class VirtualWire:
    """A `Wire` whose only server is a `Registry`. Time passes on it through `elapse` (seconds)."""

    def __init__(
        self, server: registry.Registry, token_url: str, elapse: Callable[[float], None], wall: Callable[[], float]
    ) -> None:
        self.registry = server
        self.login_script: list[Loss | Answer | None] = []  # for the next logins; None: the registry's own response
        self._token_host = urlsplit(token_url).hostname
        self._elapse = elapse
        self._wall = wall

    def exchange(self, request: Request) -> Exchange:
        """Send `request` to the registry, or let it meet the next failure of the script."""
        started_at = self._wall()
        is_login = urlsplit(request.url).hostname == self._token_host
        scripted = self.login_script.pop(0) if is_login and self.login_script else None
        if isinstance(scripted, Loss):
            return self._lost(scripted, request, started_at)
        answer = scripted or self._response(request)
        phases = self._phases(*Phase)
        return Exchange(
            started_at=started_at,
            duration=sum(phases.values()),
            phases=phases,
            status=answer.status,
            reason_phrase=_reason_phrase(answer),
            headers=_headers(answer),
            body=answer.body,
            address="192.0.2.1",
            tls_version="TLSv1.3",
        )

    def check_connection(self, *_: object) -> ConnectionCheck:
        """Connect: it always succeeds."""
        return ConnectionCheck(started_at=self._wall(), duration=_STEP)

    def certificate_expiry(self, *_: object) -> float | None:
        """Return None: no certificate fails verification here."""

    def _response(self, request: Request) -> Answer:
        """Return the registry's response to the bytes of the monitor's request."""
        url = urlsplit(request.url)
        target = url.path + (f"?{url.query}" if url.query else "")
        headers = {name.lower(): value for name, value in request.headers.items()} | {"host": url.netloc}
        received = message.Request(request.method, target, headers, b"", request.content)
        return self.registry.token(received) if url.hostname == self._token_host else self.registry.api(received)

    def _lost(self, loss: Loss, request: Request, started_at: float) -> Exchange:
        if loss is Loss.NO_CONNECTION:
            fault, phases = Fault.CONNECT, self._phases(Phase.RESOLVE, Phase.CONNECT)
        else:
            self._response(request)
            fault = Fault.TIMEOUT if loss is Loss.TIMED_OUT else Fault.DISCONNECT
            phases = self._phases(Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.PROCESSING)
            if loss is Loss.TIMED_OUT:
                self._elapse(request.timeout)
        return Exchange(started_at, sum(phases.values()), phases, fault=fault, fault_detail="scripted")

    def _phases(self, *reached: Phase) -> Mapping[Phase, float]:
        self._elapse(_STEP * len(reached))
        return dict.fromkeys(reached, _STEP)


class ServerDay(Day):
    """A day with the real `Api` and a personality's `Registry`. The server's credentials are `RIGHT`."""

    def __init__(
        self,
        personality: Personality,
        credentials: EnvironmentCredentials = RIGHT,
        *,
        server_credentials: EnvironmentCredentials = RIGHT,
        settings: EnvironmentSettings = SETTINGS,
        state_dir: Path | None = None,
    ) -> None:
        self.registry = registry.Registry(self.unix_time)
        self.registry.credentials = registry.Credentials(*astuple(server_credentials))
        self.registry.personality = personality
        self.wire = VirtualWire(self.registry, settings.token_url, self._elapse, self.unix_time)
        super().__init__(
            login=lambda _day, names: self.api.log_in(names),
            answer=lambda _day, token: self.api.ping(token),
            settings=replace(settings, credentials=credentials),
            state_dir=state_dir,
        )

    def begin(self) -> None:
        """Start the monitor's process, for the first time or again."""
        self.api = Api(self.settings, cast("Wire", self.wire), self.clock)
        super().begin()

    def unix_time(self) -> float:
        """Return the time on the clock that the monitor and the server share, in Unix seconds."""
        return self.clock.wall()

    def check_token_host(self) -> HostCheck:
        """Connect to the token host."""
        return self.api.check_token_host()

    def run_sparsely(self, days: int) -> None:
        """Let every login come when it is due, but the other jobs only in one minute of each twelve hours.

        A login runs at its due moment here too, so no login is left out: a scheduled run before it would wait.
        """
        for _ in range(2 * days):
            end = self.now + 12 * HOUR
            self.run(MINUTE)
            while (due := self.environment.next_login()) is not None and due < end:
                self._skip_to(max(self.now, due))
                self.run(0.0)
            self._skip_to(end)

    def login_results(self) -> list[Result]:
        """Return the Result of every login request, in order."""
        return [result for result in self.results if result.endpoint is Endpoint.TOKEN]

    def login_runs(self) -> list[Result]:
        """Return the decisive Result of every login run, in order."""
        return [result for result in self.login_results() if not result.retried]

    def granted_at(self) -> list[float]:
        """Return the starts of the granted logins, in seconds of the day."""
        first = self.wall + self._began
        return [result.started_at - first for result in self.login_results() if result.success]

    def right_password_is_granted(self) -> bool:
        """Return True if the server grants a login with its own credentials, with one pair of field names."""
        direct = Api(replace(self.settings, credentials=RIGHT), cast("Wire", self.wire), self.clock)
        return any(direct.log_in(names).success for names in FieldNames)

    def _elapse(self, seconds: float) -> None:
        self.now += seconds

    def _skip_to(self, moment: float) -> None:
        self.now = moment
        self._next = {"login": moment, "ping": moment + 1, "check": moment + 1 + self.settings.ping_interval / 2}


def _headers(answer: Answer) -> Mapping[str, str]:
    content_type = {"content-type": answer.content_type} if answer.body else {}
    return content_type | {name.lower(): value for name, value in answer.headers.items()}


def _reason_phrase(answer: Answer) -> str:
    return (answer.reason or HTTPStatus(answer.status).phrase)[:MAX_REASON_PHRASE]
