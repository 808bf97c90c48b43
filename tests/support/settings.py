"""What the tests of the settings share: a complete environment to start from, and files to be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from monitor.config.settings import LoadedSettings, load
from monitor.errors import ConfigError

NOWHERE = Path("/nonexistent/run/secrets")
FIELDS = ("CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD")


def name(environment: str, field: str) -> str:
    """Return the variable's name of a field."""
    return f"TIGR_ENVIRONMENTS__{environment}__{field}".upper()


COMPLETE = {name(env, field): f"{env}-{field.lower()}" for env in ("prod", "uat") for field in FIELDS}


def loaded(environ: Mapping[str, str | None], run_secrets: Path = NOWHERE) -> LoadedSettings:
    """Load a complete environment with changes; None takes a variable away."""
    return load({k: v for k, v in {**COMPLETE, **environ}.items() if v is not None}, run_secrets=run_secrets)


def problems(environ: Mapping[str, str | None], run_secrets: Path = NOWHERE) -> list[str]:
    """Load what has to be refused, and return the problems."""
    with pytest.raises(ConfigError) as refused:
        loaded(environ, run_secrets)
    return list(refused.value.problems)


def only_problem(environ: Mapping[str, str | None]) -> str:
    """Load what has exactly one problem, and return it."""
    (problem,) = problems(environ)
    return problem


def write(path: Path, text: str | bytes) -> str:
    """Write a file, and return its path as a setting would hold it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)
