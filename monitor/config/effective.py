"""Effective settings and the source of each, for display. A secret is displayed only as `set`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from monitor import durations, hosts
from monitor.config.maintenance_tables import MAINTENANCE, Windows
from monitor.config.proxy import ProxySettings, SharedProxy
from monitor.config.schema import SECRETS, Schema
from monitor.config.sources import Key, SourceValue, printable, variable
from monitor.machine import anchors

_TEXT_FOR_NONE = {"form_fields": "auto", "unauthenticated_interval": "off"}


@dataclass(frozen=True, slots=True)
class Origin:
    """An effective setting: its full name, its value as text ('set' for a secret), and its source."""

    name: str
    value: str
    source: str  # 'default', 'file PATH', 'secret file PATH', 'environment', or the variable of another program


def origins(schema: Schema, values: Mapping[Key, SourceValue], shared: SharedProxy | None) -> Iterator[Origin]:
    """Yield one row for each setting; an interval of one environment has a row only if it is set.

    For an environment that is in `values`, but not in `schema`, the only row is that it is disabled.
    """
    for key, value in _effective(schema):
        if key == ("proxy",) and shared is not None:
            yield Origin(variable(key), printable(str(shared)), f"${shared.variable}")
        else:
            source = values[key].source if key in values else "default"
            yield Origin(variable(key), printable(_display_text(key, value)), source)
    for key in sorted(values):
        if key[2:] == ("enabled",) and key[1] not in schema.environments:
            yield Origin(variable(key), "false", values[key].source)


def maintenance_origins(windows: Windows, value: SourceValue | None) -> Iterator[Origin]:
    """Yield one row for each window of planned maintenance, or one row that there is none."""
    for environment, of_environment in windows.items():
        for window in of_environment:
            yield Origin(f"{MAINTENANCE}.{environment}", str(window), value.source if value else "default")
    if not windows:
        yield Origin(MAINTENANCE, "none", value.source if value else "default")


def anchor_origins(environ: Mapping[str, str]) -> Iterator[Origin]:
    """Yield the locations of the system's trust anchors, which the variables of OpenSSL can change."""
    for location in (anchors.anchor_file(environ), anchors.anchor_directories(environ)):
        value = printable(location.value) or "none"
        if not any(path.exists() for path in anchors.paths(location)):
            value += " (missing)" if location.value else ""
        yield Origin(location.variable, value, "environment" if location.is_set else "default")


def as_columns(rows: Iterable[Origin]) -> list[str]:
    """Return `rows` as lines of text in three columns."""
    rows = [*rows]
    name = max(len(row.name) for row in rows)
    value = max(len(row.value) for row in rows)
    return [f"{row.name:{name}}  {row.value:{value}}  {row.source}" for row in rows]


def _effective(schema: Schema) -> Iterator[tuple[Key, object]]:
    for field in type(schema).model_fields:
        if field != "environments":
            yield (field,), getattr(schema, field)
    for name, environment in schema.environments.items():
        for field in type(environment).model_fields:
            value = getattr(environment, field)
            if value is not None or field in _TEXT_FOR_NONE:
                yield ("environments", name, field), value


def _display_text(key: Key, value: object) -> str:
    if key[-1] in SECRETS:
        return "set"
    if value is None and key[-1] in _TEXT_FOR_NONE:
        return _TEXT_FOR_NONE[key[-1]]
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return durations.text(value)
        case (str(host), int(port)):
            return f"{hosts.bracketed(host)}:{port}"
        case ProxySettings() | Path() | StrEnum() | str() | int():
            return str(value)
    raise AssertionError(key)  # pragma: no cover - a setting of a new type
