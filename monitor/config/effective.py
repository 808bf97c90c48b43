"""What is in force, and who said so: for the operator who asks. Of a secret it tells only that it is set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from monitor import durations, hosts
from monitor.config.proxy import Ambient, ProxySettings
from monitor.config.schema import CREDENTIALS, Schema
from monitor.config.sources import Found, Key, variable, visible

_WORD_FOR_NONE = {"form_fields": "auto", "unauthenticated_interval": "off"}


@dataclass(frozen=True, slots=True)
class Origin:
    """A setting that is in force: its full name, its value as text ('set' for a secret), and where it came from."""

    name: str
    value: str
    source: str  # 'default', 'file PATH', 'secret file PATH', 'environment', or the variable of another program


def origins(schema: Schema, found: Mapping[Key, Found], ambient: Ambient | None) -> Iterator[Origin]:
    """Yield one for each setting; for an environment's own interval only where it has one.

    Of an environment that is in `found`, but not in `schema`, there is only that it is disabled.
    """
    for key, value in _values(schema):
        if key == ("proxy",) and ambient is not None:
            yield Origin(variable(key), visible(str(ambient)), f"${ambient.variable}")
        else:
            yield Origin(variable(key), visible(_shown(key, value)), found[key].source if key in found else "default")
    for key in sorted(found):
        if key[2:] == ("enabled",) and key[1] not in schema.environments:
            yield Origin(variable(key), "false", found[key].source)


def aligned(rows: Iterable[Origin]) -> list[str]:
    """Return `rows` as lines of text in three columns."""
    rows = [*rows]
    name = max(len(row.name) for row in rows)
    value = max(len(row.value) for row in rows)
    return [f"{row.name:{name}}  {row.value:{value}}  {row.source}" for row in rows]


def _values(schema: Schema) -> Iterator[tuple[Key, object]]:
    for field in type(schema).model_fields:
        if field != "environments":
            yield (field,), getattr(schema, field)
    for name, environment in schema.environments.items():
        for field in type(environment).model_fields:
            value = getattr(environment, field)
            if value is not None or field in _WORD_FOR_NONE:
                yield ("environments", name, field), value


def _shown(key: Key, value: object) -> str:
    if key[-1] in CREDENTIALS:
        return "set"
    if value is None and key[-1] in _WORD_FOR_NONE:
        return _WORD_FOR_NONE[key[-1]]
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
    raise AssertionError(key)  # pragma: no cover - a new kind of setting
