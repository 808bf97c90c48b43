"""What an operator can set: read from everywhere it may be written, checked as a whole, every problem told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monitor.config import locations as places
from monitor.config import proxy as proxies
from monitor.config import validation as complaints
from monitor.config.effective import Origin, aligned, origins
from monitor.config.proxy import ProxySettings
from monitor.config.schema import KNOWN_ENVIRONMENTS, EnvironmentSchema, Schema, is_disabled
from monitor.errors import ConfigError
from monitor.model import ClientAuth, FieldNames

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
    """What an environment's token is asked for with. Nothing of it is in its `repr`."""

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """One environment to watch. Intervals, timeout and margin are seconds."""

    name: str
    token_url: str
    api_url: str  # without a slash at its end
    credentials: EnvironmentCredentials
    client_auth: ClientAuth
    form_fields: FieldNames | None  # None: found out
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

    @property
    def identity(self) -> tuple[str, ...]:
        """What a server tells one client and user from another by: the credentials, in the form they are sent in."""
        values = self.credentials
        plain = (values.client_id, values.client_secret, values.username, values.password)
        return plain if self.client_auth is ClientAuth.RAW else (*plain, self.client_auth)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is in force."""

    environments: tuple[EnvironmentSettings, ...]  # the enabled ones: prod, uat, then others by name
    listen_host: str  # '': every address
    listen_port: int  # 0: any free one
    ca_file: Path | None
    state_dir: Path | None
    log_level: str
    log_format: str
    web_config_file: Path | None


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """What `load` found."""

    settings: Settings
    origins: tuple[Origin, ...]
    load_credential: bool  # secrets came from systemd's LoadCredential, which copies them when the service starts


def load(environ: Mapping[str, str] = os.environ, *, run_secrets: Path = places.RUN_SECRETS) -> LoadedSettings:
    """Return the settings that the TOML file, the secret files and `environ` make up; the later wins, key by key.

    An environment that is disabled may be half written: its values are not looked at.
    Raises `ConfigError` with everything that is wrong.
    """
    written = places.read(environ, run_secrets)
    merged, problems = complaints.sort_out(written.layers)
    disabled = {key[1] for key, found in merged.items() if key[2:] == ("enabled",) and is_disabled(found)}
    in_force = {key: found for key, found in merged.items() if not disabled.intersection(key[1:2])}
    schema, wrong = complaints.validate(in_force, [key for layer in written.layers for key in layer.unreadable])
    ambient, unusable = (None, []) if ("proxy",) in merged else _ambient_proxy(environ)
    problems += [*wrong, *unusable]
    if schema is None or problems:
        raise ConfigError(tuple(problems))

    settings = _settings(schema, _Route(schema.proxy, ambient))
    told = (*written.origins, *origins(schema, merged, ambient))
    return LoadedSettings(settings, told, load_credential=written.load_credential)


def describe(loaded: LoadedSettings) -> list[str]:
    """Return what is in force and where it came from, as lines of text in columns."""
    return aligned(loaded.origins)


@dataclass(frozen=True, slots=True)
class _Route:
    """Which proxy stands between us and a URL."""

    chosen: ProxySettings | None
    ambient: proxies.Ambient | None

    def to(self, url: str) -> ProxySettings | None:
        if url.startswith("http:"):  # this very machine
            return None
        if self.ambient is not None:
            return self.ambient.proxy if self.ambient.covers(url) else None
        return self.chosen


def _ambient_proxy(environ: Mapping[str, str]) -> tuple[proxies.Ambient | None, list[str]]:
    try:
        return proxies.ambient(environ), []
    except ValueError as error:
        return None, [str(error)]


def _settings(schema: Schema, route: _Route) -> Settings:
    known = [*KNOWN_ENVIRONMENTS]
    names = sorted(schema.environments, key=lambda name: (known.index(name) if name in known else len(known), name))
    host, port = schema.listen
    return Settings(
        environments=tuple(_environment(name, schema.environments[name], schema, route) for name in names),
        listen_host=host,
        listen_port=port,
        ca_file=schema.ca_file,
        state_dir=schema.state_dir,
        log_level=schema.log_level,
        log_format=schema.log_format,
        web_config_file=schema.web_config_file,
    )


def _environment(name: str, own: EnvironmentSchema, common: Schema, route: _Route) -> EnvironmentSettings:
    return EnvironmentSettings(
        name=name,
        token_url=own.token_url,
        api_url=own.api_url,
        credentials=EnvironmentCredentials(own.client_id, own.client_secret, own.username, own.password),
        client_auth=own.client_auth,
        form_fields=own.form_fields,
        ping_interval=own.ping_interval or common.ping_interval,
        auth_interval=own.auth_interval or common.auth_interval,
        confirm_interval=own.confirm_interval or common.confirm_interval,
        timeout=own.timeout or common.timeout,
        renew_margin=common.renew_margin,
        rejected_logins=common.rejected_logins,
        token_host_check=common.token_host_check,
        unauthenticated_interval=common.unauthenticated_interval,
        token_proxy=route.to(own.token_url),
        api_proxy=route.to(own.api_url),
    )
