"""The simulator: environments with two hosts each, a certificate authority, and one request log."""

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

_BUILT_IN = ("prod", "uat")  # the environments that the monitor monitors by default


@dataclass(frozen=True, slots=True)
class Latency:
    """The latency of responses: log-normal with these medians in seconds, like the latency of most servers."""

    token: float = 0.02
    ping: float = 0.01
    spread: float = 0.3  # standard deviation of the logarithm; 0: exactly the median

    def draw(self, host: Host) -> float:
        """Return a random latency in seconds."""
        median = self.token if host is Host.TOKEN else self.ping
        return median * random.lognormvariate(0, self.spread) if self.spread else median


class SimulatedEnvironment(Registry):
    """One environment with its two hosts: its addresses, its settings for a monitor, and its fault switches."""

    def __init__(self, name: str, log: RequestLog, certificates: CertificateStore | None, *, ipv6: bool) -> None:
        """Bind the ports of both hosts. Raises OSError."""
        super().__init__()
        self.name = name
        self.latency: Latency | float = Latency()  # a number: exact seconds, for both hosts
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
        """Return the URL of the token endpoint."""
        return f"{self._scheme}://localhost:{self._servers[Host.TOKEN].port}{TOKEN_PATH}"

    @property
    def api_url(self) -> str:
        """Return the base URL of the Client API."""
        return f"{self._scheme}://localhost:{self._servers[Host.API].port}{API_PATH}"

    def secrets(self) -> dict[str, str]:
        """Return the secret settings by environment variable. Names of secret files are the same in lower case."""
        credentials = self.credentials
        return self._named(
            CLIENT_ID=credentials.client_id,
            CLIENT_SECRET=credentials.client_secret,
            USERNAME=credentials.username,
            PASSWORD=credentials.password,
        )

    def urls(self) -> dict[str, str]:
        """Return the URL settings by environment variable."""
        return self._named(TOKEN_URL=self.token_url, API_URL=self.api_url)

    def settings(self) -> dict[str, str]:
        """Return all settings of this environment by environment variable."""
        return self.urls() | self.secrets()

    def start(self) -> None:
        """Accept connections on both hosts."""
        for server in self._servers.values():
            server.start()

    def close(self) -> None:
        """End every connection of both hosts and wait for their threads."""
        for server in self._servers.values():
            server.close()

    def _draw_latency(self, host: Host) -> float:
        return self.latency.draw(host) if isinstance(self.latency, Latency) else self.latency

    def _named(self, **values: str) -> dict[str, str]:
        return {f"TIGR_ENVIRONMENTS__{self.name.upper()}__{key}": value for key, value in values.items()}


class Simulator:
    """A simulated TIGR on this machine, which runs inside a `with` block.

    Each environment has two hosts, `https://localhost:PORT/oauth/token` and `https://localhost:PORT/ClientAPI`, on
    127.0.0.1 (with `ipv6` also on the same ports of ::1). Their certificates come from the authority in `ca_file`.
    Without `tls` they use plain HTTP, which is faster for tests of other subjects.
    """

    def __init__(self, names: Sequence[str] = _BUILT_IN, *, tls: bool = True, ipv6: bool = False) -> None:
        self.log = RequestLog()
        self.environments: Mapping[str, SimulatedEnvironment] = MappingProxyType({})
        self._names = tuple(names)
        self._tls = tls
        self._ipv6 = ipv6
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        # Imported here: the command `demo` imports this module before it reports a missing extra.
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
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def ca_file(self) -> Path:
        """Return the path of the CA certificate (PEM), which is deleted when the simulator ends."""
        return self._certificates.ca_file

    def certificate_expiry(self, variant: CertificateVariant = CertificateVariant.GOOD) -> float:
        """Return the expiry of a certificate in Unix seconds, by default of the valid one."""
        return self._certificates.not_after[variant]

    def environment(self, name: str) -> SimulatedEnvironment:
        """Return the environment of this name. Raises KeyError."""
        return self.environments[name]

    def settings(self) -> dict[str, str]:
        """Return the settings of a monitor of these environments and no other, by environment variable."""
        return self.public_settings() | {k: v for e in self.environments.values() for k, v in e.secrets().items()}

    def public_settings(self) -> dict[str, str]:
        """Return the settings that are not secret."""
        absent = [name for name in _BUILT_IN if name not in self.environments]
        settings = {f"TIGR_ENVIRONMENTS__{name.upper()}__ENABLED": "false" for name in absent}
        settings |= {k: v for e in self.environments.values() for k, v in e.urls().items()}
        return settings | {"TIGR_CA_FILE": str(self.ca_file), "TIGR_PROXY": "none"}
