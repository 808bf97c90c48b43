"""The sources of settings: which of them are read, and in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.config import sources
from monitor.config.effective import Origin
from monitor.config.schema import CONFIG_FILE, KNOWN_ENVIRONMENTS, SECRETS_DIR, path
from monitor.config.sources import Key, Layer, SourceValue, printable, variable

RUN_SECRETS = Path("/run/secrets")  # Docker and Podman mount secrets here, and so do many Kubernetes manifests


@dataclass(frozen=True)
class Layers:
    """The values of all sources, the layer of lowest priority first."""

    layers: tuple[Layer, ...]
    origins: tuple[Origin, ...]  # of the settings that locate the other sources
    load_credential: bool  # secret files were read from the directory that systemd's LoadCredential fills


def read(environ: Mapping[str, str], run_secrets: Path) -> Layers:
    """Read the defaults, systemd's state directory, the TOML file, the secret files and the environment."""
    environment = sources.from_environment(environ)
    config = _pop_path(environment, CONFIG_FILE)
    directory = _pop_path(environment, SECRETS_DIR) or _default_secrets_dir(environ, run_secrets)

    layers = [_defaults(), _from_systemd(environ)]
    if config:
        layers.append(sources.from_toml(str(config.value), config.name))
    if directory:
        layers.append(sources.from_directory(str(directory.value), directory.name))
    secrets = layers[-1].values if directory else {}
    layers.append(environment)
    return Layers(
        tuple(layers),
        (_origin(CONFIG_FILE, config), _origin(SECRETS_DIR, directory)),
        load_credential=directory is not None
        and bool(secrets)
        and directory.value == environ.get("CREDENTIALS_DIRECTORY"),
    )


def _pop_path(environment: Layer, key: Key) -> SourceValue | None:
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


def _defaults() -> Layer:
    layer = Layer("default", variable)
    for name, urls in KNOWN_ENVIRONMENTS.items():
        for field, url in urls.items():
            key = ("environments", name, field)
            layer.add(key, variable(key), url)
    return layer


def _from_systemd(environ: Mapping[str, str]) -> Layer:
    """Return the first of systemd's state directories as the default of `state_dir`."""
    layer = Layer("$STATE_DIRECTORY", variable)
    directory = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if directory:
        layer.add(("state_dir",), "STATE_DIRECTORY", directory)
    return layer


def _origin(key: Key, value: SourceValue | None) -> Origin:
    return (
        Origin(variable(key), printable(str(value.value)), value.source)
        if value
        else Origin(variable(key), "none", "default")
    )
