"""Helpers for tests of the settings: complete environments, the problems of settings, and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from monitor.config.settings import LoadedSettings, load
from monitor.errors import ConfigError

NOWHERE = Path("/nonexistent/run/secrets")
FIELDS = ("CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD")
OUTSIDE_ASCII = (
    "it contains a character outside ASCII; percent-encode it, or in a host name write its ASCII form (xn--…)"
)


def name(environment: str, field: str) -> str:
    """Return the name of the environment variable for a field."""
    return f"TIGR_ENVIRONMENTS__{environment}__{field}".upper()


COMPLETE = {name(env, field): f"{env}-{field.lower()}" for env in ("prod", "uat") for field in FIELDS}


def loaded(environ: Mapping[str, str | None], run_secrets: Path = NOWHERE) -> LoadedSettings:
    """Load complete settings with changes; None removes a variable."""
    return load({k: v for k, v in {**COMPLETE, **environ}.items() if v is not None}, run_secrets=run_secrets)


def problems(environ: Mapping[str, str | None], run_secrets: Path = NOWHERE) -> list[str]:
    """Load settings that must be refused, and return their problems."""
    with pytest.raises(ConfigError) as refused:
        loaded(environ, run_secrets)
    return list(refused.value.problems)


def only_problem(environ: Mapping[str, str | None]) -> str:
    """Load settings with exactly one problem, and return it."""
    (problem,) = problems(environ)
    return problem


def write(path: Path, text: str | bytes) -> str:
    """Write a file and return its path as the text of a setting."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)
