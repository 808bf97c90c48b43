"""Harness of the monitor's `TigrClient` and the simulator's `Registry` on virtual time, without sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from monitor.config.settings import EnvironmentCredentials, EnvironmentSettings
from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import ConnectionCheck, Exchange, HttpRequest
from monitor.http.stream import MAX_REASON_PHRASE
from monitor.model import Endpoint, FieldNames, HostCheck, Phase, Result
from monitor.simulator import message, registry
from monitor.simulator.message import SimulatedResponse
from monitor.simulator.personality import Personality
from monitor.tigr.client import TigrClient
from tests.reporting.test_metrics import SETTINGS
from tests.support.virtual_time import HOUR, VirtualTimeHarness

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


class VirtualHttpClient:
    """A `HttpClient` whose only server is a `Registry`. It advances the clock with `elapse` (seconds)."""

    def __init__(
        self, server: registry.Registry, token_url: str, elapse: Callable[[float], None], wall: Callable[[], float]
    ) -> None:
        self.registry = server
        self.login_overrides: list[
            Loss | SimulatedResponse | None
        ] = []  # for the next logins; None: the response of the registry
        self._token_host = urlsplit(token_url).hostname
        self._elapse = elapse
        self._wall = wall

    def exchange(self, request: HttpRequest) -> Exchange:
        """Send `request` to the registry, unless the next override replaces its response."""
        started_at = self._wall()
        is_login = urlsplit(request.url).hostname == self._token_host
        override = self.login_overrides.pop(0) if is_login and self.login_overrides else None
        if isinstance(override, Loss):
            return self._lost(override, request, started_at)
        response = override or self._response(request)
        phases = self._phases(*Phase)
        return Exchange(
            started_at=started_at,
            duration=sum(phases.values()),
            phases=phases,
            status=response.status,
            reason_phrase=_reason_phrase(response),
            headers=_headers(response),
            body=response.body,
            address="192.0.2.1",
            tls_version="TLSv1.3",
        )

    def check_connection(self, *_: object) -> ConnectionCheck:
        """Return a connection check that succeeded."""
        return ConnectionCheck(started_at=self._wall(), duration=_STEP)

    def certificate_expiry(self, *_: object) -> float | None:
        """Return None, because no certificate fails verification here."""

    def _response(self, request: HttpRequest) -> SimulatedResponse:
        """Return the registry's response to the bytes of the monitor's request."""
        url = urlsplit(request.url)
        target = url.path + (f"?{url.query}" if url.query else "")
        headers = {name.lower(): value for name, value in request.headers.items()} | {"host": url.netloc}
        received = message.ReceivedRequest(request.method, target, headers, b"", request.content)
        return self.registry.token(received) if url.hostname == self._token_host else self.registry.api(received)

    def _lost(self, loss: Loss, request: HttpRequest, started_at: float) -> Exchange:
        if loss is Loss.NO_CONNECTION:
            fault, phases = ExchangeFault.CONNECT, self._phases(Phase.RESOLVE, Phase.CONNECT)
        else:
            self._response(request)
            fault = ExchangeFault.TIMEOUT if loss is Loss.TIMED_OUT else ExchangeFault.DISCONNECT
            phases = self._phases(Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.PROCESSING)
            if loss is Loss.TIMED_OUT:
                self._elapse(request.timeout)
        return Exchange(started_at, sum(phases.values()), phases, fault=fault, fault_detail="lost by the test")

    def _phases(self, *reached: Phase) -> Mapping[Phase, float]:
        self._elapse(_STEP * len(reached))
        return dict.fromkeys(reached, _STEP)


class VirtualServerHarness(VirtualTimeHarness):
    """A virtual-time harness with the real `TigrClient` and the `Registry` of a personality."""

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
        self.registry.credentials = registry.SimulatedCredentials(*astuple(server_credentials))
        self.registry.personality = personality
        self.http_client = VirtualHttpClient(self.registry, settings.token_url, self._elapse, self.unix_time)
        super().__init__(
            login=lambda _harness, names: self.api.log_in(names),
            ping_response=lambda _harness, token: self.api.ping(token),
            settings=replace(settings, credentials=credentials),
            state_dir=state_dir,
        )

    def begin(self) -> None:
        """Start the process of the monitor, also after a restart."""
        self.api = TigrClient(self.settings, cast("HttpClient", self.http_client), self.clock)
        super().begin()

    def unix_time(self) -> float:
        """Return the common wall clock of monitor and server, in Unix seconds."""
        return self.clock.wall()

    def check_token_host(self) -> HostCheck:
        """Return the outcome of a check of the token host."""
        return self.api.check_token_host()

    def run_sparsely(self, days: int) -> None:
        """Run every login at the time when it is due, and the other jobs only in one minute of each twelve hours.

        No login is omitted, because a scheduled run before that time would only wait.
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
        return [result for result in self.login_results() if result.is_decisive]

    def granted_at(self) -> list[float]:
        """Return the starts of the granted logins, in seconds since the start."""
        first = self.wall + self._began
        return [result.measurement.started_at - first for result in self.login_results() if result.success]

    def right_password_is_granted(self) -> bool:
        """Return whether the server grants a login with the right credentials and one pair of field names."""
        direct = TigrClient(replace(self.settings, credentials=RIGHT), cast("HttpClient", self.http_client), self.clock)
        return any(direct.log_in(names).success for names in FieldNames)

    def _elapse(self, seconds: float) -> None:
        self.now += seconds

    def _skip_to(self, moment: float) -> None:
        self.now = moment
        self._next = {"login": moment, "ping": moment + 1, "check": moment + 1 + self.settings.ping_interval / 2}


def _headers(response: SimulatedResponse) -> Mapping[str, str]:
    content_type = {"content-type": response.content_type} if response.body else {}
    return content_type | {name.lower(): value for name, value in response.headers.items()}


def _reason_phrase(response: SimulatedResponse) -> str:
    return (response.reason or HTTPStatus(response.status).phrase)[:MAX_REASON_PHRASE]
