"""Settings of the monitor: load them from all sources, validate them, report every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config import locations, maintenance_tables, validation
from monitor.config.client_certificate import ClientCertificate, with_digest
from monitor.config.effective import Origin, anchor_origins, as_columns, maintenance_origins, origins
from monitor.config.maintenance import MaintenanceWindow
from monitor.config.proxy import ProxySettings, SharedProxy, shared_proxy
from monitor.config.schema import KNOWN_ENVIRONMENTS, EnvironmentSchema, Schema
from monitor.config.sources import Source, merged
from monitor.errors import ConfigError
from monitor.model import ClientAuth, FieldNames, Severity

__all__ = [
    "EnvironmentCredentials",
    "EnvironmentSettings",
    "LoadedSettings",
    "Origin",
    "ProxySettings",
    "Settings",
    "describe",
    "load",
]


@dataclass(frozen=True, slots=True)
class EnvironmentCredentials:
    """The client and the user of a token request. No `repr` contains them."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """One monitored environment. Intervals, timeout and margin are in seconds."""

    name: str
    token_url: str
    api_url: str  # without a trailing slash
    credentials: EnvironmentCredentials
    client_auth: ClientAuth
    form_fields: FieldNames | None  # None: detected
    ping_interval: float
    auth_interval: float
    confirm_interval: float
    timeout: float
    renew_margin: float
    rejected_logins: int  # requests that may carry rejected credentials before logins stop
    token_host_check: bool
    unauthenticated_interval: float | None  # None: off
    token_proxy: ProxySettings | None
    api_proxy: ProxySettings | None
    client_certificate: ClientCertificate | None = None
    severity: Severity = Severity.WARNING
    maintenance: tuple[MaintenanceWindow, ...] = ()  # in the order of time, without overlaps

    @property
    def identity(self) -> tuple[str, ...]:
        """Credentials in the form in which they are sent: they identify one client and one user to the server."""
        values = self.credentials
        plain = (values.client_id, values.client_secret, values.username, values.password)
        return plain if self.client_auth is ClientAuth.RAW else (*plain, self.client_auth)


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings."""

    environments: tuple[EnvironmentSettings, ...]  # the enabled ones: prod, uat, then others by name
    listen_host: str  # '': every address
    listen_port: int  # 0: any free port
    ca_file: Path | None
    state_dir: Path | None
    control_socket: Path | None
    log_level: str
    log_format: str
    web_config_file: Path | None


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The result of `load`."""

    settings: Settings
    origins: tuple[Origin, ...]
    load_credential: bool  # secrets came from systemd's LoadCredential, which copies them when the service starts


def load(environ: Mapping[str, str] = os.environ, *, run_secrets: Path = locations.RUN_SECRETS) -> LoadedSettings:
    """Return the settings from the TOML file, the secret files and `environ`; for each key the later source wins.

    The values of a disabled environment are not validated, so they may be incomplete.
    Raises `ConfigError` with all problems.
    """
    read = locations.read(environ, run_secrets)
    problems = validation.remove_unknown(read.sources)
    values = merged(read.sources)
    windows, invalid_windows = maintenance_tables.read(read.maintenance, _environments(read.sources))
    validation.remove_disabled(read.sources)
    schema, invalid = validation.validate(read.sources)
    shared, invalid_proxy = (None, []) if ("proxy",) in values else _shared_proxy(environ)
    problems += [*invalid, *invalid_proxy, *invalid_windows]
    if schema is None or problems:
        raise ConfigError(tuple(problems))

    settings = _settings(schema, windows, _Route(schema.proxy, shared))
    planned = maintenance_origins(windows, read.maintenance)
    rows = (*read.origins, *origins(schema, values, shared), *planned, *anchor_origins(environ))
    return LoadedSettings(settings, rows, load_credential=read.load_credential)


def describe(loaded: LoadedSettings) -> list[str]:
    """Return the effective settings and their sources, as lines of text in columns."""
    return as_columns(loaded.origins)


def _environments(sources: Iterable[Source]) -> set[str] | None:
    """Return the names of all environments, disabled ones included; None if a source could not be read."""
    if any(source.unreadable for source in sources):
        return None
    return {key[1] for source in sources for key in source.values if len(key) > 1}


@dataclass(frozen=True, slots=True)
class _Route:
    """The choice of the proxy for a URL."""

    chosen: ProxySettings | None
    shared: SharedProxy | None

    def proxy_for(self, url: str) -> ProxySettings | None:
        if url.startswith("http:"):  # a loopback address
            return None
        if self.shared is not None:
            return self.shared.proxy if self.shared.applies_to(url) else None
        return self.chosen


def _shared_proxy(environ: Mapping[str, str]) -> tuple[SharedProxy | None, list[str]]:
    try:
        return shared_proxy(environ), []
    except ValueError as error:
        return None, [str(error)]


def _settings(schema: Schema, windows: maintenance_tables.Windows, route: _Route) -> Settings:
    known = [*KNOWN_ENVIRONMENTS]
    names = sorted(schema.environments, key=lambda name: (known.index(name) if name in known else len(known), name))
    host, port = schema.listen
    return Settings(
        environments=tuple(
            _environment(name, schema.environments[name], schema, windows.get(name, ()), route) for name in names
        ),
        listen_host=host,
        listen_port=port,
        ca_file=schema.ca_file,
        state_dir=schema.state_dir,
        control_socket=schema.control_socket,
        log_level=schema.log_level,
        log_format=schema.log_format,
        web_config_file=schema.web_config_file,
    )


def _environment(
    name: str, specific: EnvironmentSchema, common: Schema, windows: tuple[MaintenanceWindow, ...], route: _Route
) -> EnvironmentSettings:
    certificate = specific.client_certificate
    return EnvironmentSettings(
        name=name,
        token_url=specific.token_url,
        api_url=specific.api_url,
        credentials=EnvironmentCredentials(
            specific.client_id, specific.client_secret, specific.username, specific.password
        ),
        client_auth=specific.client_auth,
        form_fields=specific.form_fields,
        ping_interval=specific.ping_interval or common.ping_interval,
        auth_interval=specific.auth_interval or common.auth_interval,
        confirm_interval=specific.confirm_interval or common.confirm_interval,
        timeout=specific.timeout or common.timeout,
        renew_margin=common.renew_margin,
        rejected_logins=common.rejected_logins,
        token_host_check=common.token_host_check,
        unauthenticated_interval=common.unauthenticated_interval,
        token_proxy=route.proxy_for(specific.token_url),
        api_proxy=route.proxy_for(specific.api_url),
        client_certificate=None if certificate is None else with_digest(certificate),
        severity=specific.severity,
        maintenance=windows,
    )
