"""The sources of settings: which of them are read, and in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.config.effective import Origin
from monitor.config.maintenance_tables import MAINTENANCE
from monitor.config.schema import CONFIG_FILE, CONTROL_SOCKET, KNOWN_ENVIRONMENTS, SECRETS_DIR, Schema
from monitor.config.sources import (
    EnvironmentSource,
    Key,
    SecretFilesSource,
    Source,
    SourceValue,
    TomlSource,
    printable,
    variable,
)
from monitor.config.values import path

RUN_SECRETS = Path("/run/secrets")  # Docker and Podman mount secrets here, and so do many Kubernetes manifests


@dataclass(frozen=True)
class SettingsSources:
    """All sources that were read, in ascending order of precedence."""

    sources: tuple[Source, ...]
    origins: tuple[Origin, ...]  # of the settings that locate the other sources
    maintenance: SourceValue | None  # the tables of planned maintenance
    load_credential: bool  # secret files were read from the directory that systemd's LoadCredential fills


def read(environ: Mapping[str, str], run_secrets: Path) -> SettingsSources:
    """Read the defaults, systemd's directories, the TOML file, the secret files and the environment."""
    environment = EnvironmentSource(Schema, environ)
    config = _pop_path(environment, CONFIG_FILE)
    directory = _pop_path(environment, SECRETS_DIR) or _default_secrets_dir(environ, run_secrets)

    sources: list[Source] = [_defaults(), _from_systemd(environ)]
    maintenance = None
    if config:
        sources.append(TomlSource(Schema, str(config.value), config.name))
        maintenance = sources[-1].values.pop((MAINTENANCE,), None)
    if directory:
        sources.append(SecretFilesSource(Schema, str(directory.value), directory.name))
    secrets = sources[-1].values if directory else {}
    sources.append(environment)
    return SettingsSources(
        tuple(sources),
        (_origin(CONFIG_FILE, config), _origin(SECRETS_DIR, directory)),
        maintenance,
        load_credential=directory is not None
        and bool(secrets)
        and directory.value == environ.get("CREDENTIALS_DIRECTORY"),
    )


def _pop_path(environment: Source, key: Key) -> SourceValue | None:
    """Remove the setting at `key` from `environment` and return it; None if it is not set, or cannot be a path."""
    value = environment.values.pop(key, None)
    if value is not None:
        try:
            path(value.value)
        except ValueError as error:
            environment.fail(value.name, str(error))
            return None
    return value


def _default_secrets_dir(environ: Mapping[str, str], run_secrets: Path) -> SourceValue | None:
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        return SourceValue(SECRETS_DIR, "CREDENTIALS_DIRECTORY", "$CREDENTIALS_DIRECTORY", variable, credentials)
    if os.path.isdir(run_secrets):  # noqa: PTH112 - Path.is_dir raises without the permission to look
        return SourceValue(SECRETS_DIR, variable(SECRETS_DIR), "default", variable, str(run_secrets))
    return None


def _defaults() -> Source:
    source = Source(Schema, "default", variable)
    for name, defaults in KNOWN_ENVIRONMENTS.items():
        for field, value in defaults.items():
            key = ("environments", name, field)
            source.add(key, variable(key), value)
    return source


def _from_systemd(environ: Mapping[str, str]) -> Source:
    """Return the first of systemd's state and runtime directories as the defaults of `state_dir`, `control_socket`."""
    source = Source(Schema, "$STATE_DIRECTORY", variable)
    directory = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if directory:
        source.add(("state_dir",), "STATE_DIRECTORY", directory)
    runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if runtime:
        source.add(("control_socket",), "RUNTIME_DIRECTORY", f"{runtime}/{CONTROL_SOCKET}", "$RUNTIME_DIRECTORY")
    return source


def _origin(key: Key, value: SourceValue | None) -> Origin:
    return (
        Origin(variable(key), printable(str(value.value)), value.source)
        if value
        else Origin(variable(key), "none", "default")
    )
