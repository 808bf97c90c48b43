"""The simulator as a whole: environments with two hosts each, a certificate authority, and one request log."""

from __future__ import annotations

import contextlib
import functools
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from monitor.simulator.faults import CertificateVariant
from monitor.simulator.host import SimulatedHost
from monitor.simulator.registry import API_PATH, TOKEN_PATH, Registry
from monitor.simulator.request_log import Host, RequestLog

if TYPE_CHECKING:
    from monitor.simulator.certificates import CertificateStore

_BUILT_IN = ("prod", "uat")  # what the monitor watches unless told otherwise


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds until an answer begins: log-normal around a median, as a server's usually are."""

    token: float = 0.02
    ping: float = 0.01
    spread: float = 0.3  # standard deviation of the logarithm; 0: exactly the median

    def draw(self, host: Host) -> float:
        """How long it takes this time."""
        median = self.token if host is Host.TOKEN else self.ping
        return median * random.lognormvariate(0, self.spread) if self.spread else median


class SimulatedEnvironment(Registry):
    """One environment: what the monitor needs to know about it, and everything that can be done to it."""

    def __init__(self, name: str, log: RequestLog, certificates: CertificateStore | None, *, ipv6: bool) -> None:
        """Bind both hosts (OSError goes to the caller)."""
        super().__init__()
        self.name = name
        self.latency: Latency | float = Latency()  # a number: exactly so many seconds, for both hosts
        self._scheme = "https" if certificates else "http"
        self._servers: dict[Host, SimulatedHost] = {}
        try:
            for host in Host:
                latency = functools.partial(self._draw_latency, host)
                self._servers[host] = SimulatedHost(name, host, self, log, certificates, latency, ipv6=ipv6)
        except OSError:
            self.close()
            raise
        self.token_faults = self._servers[Host.TOKEN].faults
        self.api_faults = self._servers[Host.API].faults

    @property
    def token_url(self) -> str:
        """Where to log in."""
        return f"{self._scheme}://localhost:{self._servers[Host.TOKEN].port}{TOKEN_PATH}"

    @property
    def api_url(self) -> str:
        """The Client API's base URL."""
        return f"{self._scheme}://localhost:{self._servers[Host.API].port}{API_PATH}"

    def secrets(self) -> dict[str, str]:
        """The settings that are secret, named as variables of the environment; as files, in lower case."""
        credentials = self.credentials
        return self._named(
            CLIENT_ID=credentials.client_id,
            CLIENT_SECRET=credentials.client_secret,
            USERNAME=credentials.username,
            PASSWORD=credentials.password,
        )

    def urls(self) -> dict[str, str]:
        """The settings that say where this environment is."""
        return self._named(TOKEN_URL=self.token_url, API_URL=self.api_url)

    def settings(self) -> dict[str, str]:
        """All that lets the monitor watch this environment, as variables of its process environment."""
        return self.urls() | self.secrets()

    def start(self) -> None:
        """Accept connections."""
        for server in self._servers.values():
            server.start()

    def close(self) -> None:
        """End everything and wait for it."""
        for server in self._servers.values():
            server.close()

    def _draw_latency(self, host: Host) -> float:
        return self.latency.draw(host) if isinstance(self.latency, Latency) else self.latency

    def _named(self, **values: str) -> dict[str, str]:
        return {f"TIGR_ENVIRONMENTS__{self.name.upper()}__{key}": value for key, value in values.items()}


class Simulator:
    """A TIGR on this machine, from `with` until its end.

    Each environment is two hosts, `https://localhost:PORT/oauth/token` and `https://localhost:PORT/ClientAPI`, on
    127.0.0.1 (and the same ports of ::1, if wanted), with certificates of an authority of its own (`ca_file`). Without
    TLS it is plain HTTP: for what has nothing to do with TLS and wants to be quick.
    """

    def __init__(self, names: Sequence[str] = _BUILT_IN, *, tls: bool = True, ipv6: bool = False) -> None:
        self.log = RequestLog()
        self.environments: Mapping[str, SimulatedEnvironment] = MappingProxyType({})
        self._names = tuple(names)
        self._tls = tls
        self._ipv6 = ipv6
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # Here, because only this needs `cryptography`: who misses it (the extra `demo`) can be told so.
        from monitor.simulator.certificates import CertificateStore

        with contextlib.ExitStack() as resources:
            directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="tigr-simulator-"))
            self._certificates = CertificateStore(Path(directory))
            certificates = self._certificates if self._tls else None
            environments = {}
            for name in self._names:
                environments[name] = SimulatedEnvironment(name, self.log, certificates, ipv6=self._ipv6)
                resources.callback(environments[name].close)
            self.environments = MappingProxyType(environments)
            for environment in environments.values():
                environment.start()
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def ca_file(self) -> Path:
        """The authority's certificate (PEM); it is gone when the simulator ends."""
        return self._certificates.ca_file

    def certificate_expiry(self, kind: CertificateVariant = CertificateVariant.GOOD) -> float:
        """When the certificate that hosts show, or would show with that fault, expires; in Unix seconds."""
        return self._certificates.not_after[kind]

    def environment(self, name: str) -> SimulatedEnvironment:
        """The environment of that name; raises KeyError."""
        return self.environments[name]

    def settings(self) -> dict[str, str]:
        """All that lets the monitor watch these environments and no other, as variables of its process environment."""
        return self.public_settings() | {k: v for e in self.environments.values() for k, v in e.secrets().items()}

    def public_settings(self) -> dict[str, str]:
        """Those of them that are not secret."""
        absent = [name for name in _BUILT_IN if name not in self.environments]
        settings = {f"TIGR_ENVIRONMENTS__{name.upper()}__ENABLED": "false" for name in absent}
        settings |= {k: v for e in self.environments.values() for k, v in e.urls().items()}
        return settings | {"TIGR_CA_FILE": str(self.ca_file), "TIGR_PROXY": "none"}
