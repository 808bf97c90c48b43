"""Where to look for settings, and in which order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.config import sources
from monitor.config.effective import Origin
from monitor.config.schema import CONFIG_FILE, KNOWN_ENVIRONMENTS, SECRETS_DIR, path
from monitor.config.sources import Found, Key, Layer, variable, visible

RUN_SECRETS = Path("/run/secrets")  # where Docker, Podman and many a Kubernetes manifest put them


@dataclass(frozen=True)
class Written:
    """All that is written down, the weakest layer first."""

    layers: tuple[Layer, ...]
    origins: tuple[Origin, ...]  # of the settings that say where the others are
    load_credential: bool  # whether secret files were read from the directory that systemd's LoadCredential fills


def read(environ: Mapping[str, str], run_secrets: Path) -> Written:
    """Read defaults, what systemd offers, the TOML file, the secret files and the environment."""
    environment = sources.from_environment(environ)
    config = _located(environment, CONFIG_FILE)
    directory = _located(environment, SECRETS_DIR) or _given_directory(environ, run_secrets)

    layers = [_defaults(), _offered(environ)]
    if config:
        layers.append(sources.from_toml(str(config.value), config.where))
    if directory:
        layers.append(sources.from_directory(str(directory.value), directory.where))
    secrets = layers[-1].found if directory else {}
    layers.append(environment)
    return Written(
        tuple(layers),
        (_origin(CONFIG_FILE, config), _origin(SECRETS_DIR, directory)),
        load_credential=directory is not None
        and bool(secrets)
        and directory.value == environ.get("CREDENTIALS_DIRECTORY"),
    )


def _located(environment: Layer, key: Key) -> Found | None:
    """Take the setting at `key` out of `environment`; None if it is not set, or cannot be a path."""
    found = environment.found.pop(key, None)
    if found is not None:
        try:
            path(found)
        except ValueError as error:
            environment.fail(found.where, str(error))
            return None
    return found


def _given_directory(environ: Mapping[str, str], run_secrets: Path) -> Found | None:
    given = environ.get("CREDENTIALS_DIRECTORY")
    if given:
        return Found(SECRETS_DIR, "CREDENTIALS_DIRECTORY", "$CREDENTIALS_DIRECTORY", variable, given)
    if os.path.isdir(run_secrets):  # noqa: PTH112 - Path.is_dir raises where it may not look
        return Found(SECRETS_DIR, variable(SECRETS_DIR), "default", variable, str(run_secrets))
    return None


def _defaults() -> Layer:
    layer = Layer("default", variable)
    for name, urls in KNOWN_ENVIRONMENTS.items():
        for field, url in urls.items():
            key = ("environments", name, field)
            layer.add(key, variable(key), url)
    return layer


def _offered(environ: Mapping[str, str]) -> Layer:
    """Return what systemd says where the operator says nothing: the first of its state directories."""
    layer = Layer("$STATE_DIRECTORY", variable)
    directory = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if directory:
        layer.add(("state_dir",), "STATE_DIRECTORY", directory)
    return layer


def _origin(key: Key, found: Found | None) -> Origin:
    return (
        Origin(variable(key), visible(str(found.value)), found.source)
        if found
        else Origin(variable(key), "none", "default")
    )
