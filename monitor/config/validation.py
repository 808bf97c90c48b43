"""What is wrong with the settings, in words to act on: each with the name under which the operator wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from monitor.config.schema import (
    CONFIG_FILE,
    KNOWN_ENVIRONMENTS,
    NOT_REPEATED,
    SECRETS_DIR,
    Schema,
    is_known,
    known_keys,
)
from monitor.config.sources import Found, Key, Layer, variable

_ENVIRONMENT_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")  # so that it can be told from the `__` around it
_LONGEST = 60  # characters of a wrong value that are worth repeating


def sort_out(layers: Iterable[Layer]) -> tuple[dict[Key, Found], list[str]]:
    """Return what the layers say together, the later over the earlier, and what is wrong with how it is written."""
    layers = tuple(layers)
    problems = [problem for layer in layers for problem in layer.problems]
    everything = [found for layer in layers for found in layer.found.values()]
    environments = {found.key[1] for found in everything if is_known(found) and len(found.key) > 1}
    merged: dict[Key, Found] = {}
    for found in everything:
        complaint = _misplaced(found, environments)
        if complaint:
            problems.append(f"{found.where}: {complaint}")
        else:
            merged[found.key] = found
    return merged, problems


def validate(settings: Mapping[Key, Found], unreadable: Collection[Key]) -> tuple[Schema | None, list[str]]:
    """Return the settings with their values, or what is wrong with those.

    What lies under a key that is `unreadable` is not called missing: nobody knows.
    """
    tree = _tree(settings.values())
    if not tree["environments"]:
        return None, ["every environment is disabled: there is nothing to watch"]
    try:
        schema = Schema(**tree)
        return schema, _contradictions(schema, settings)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
    problems = []
    for detail in errors:
        key = tuple(str(part) for part in detail["loc"])
        if detail["type"] != "missing":
            problems.append(_wrong(settings[key], str(detail["ctx"]["error"])))
        elif not any(key[: len(prefix)] == prefix for prefix in unreadable):
            problems.append(_missing(key))
    return None, problems


def _contradictions(schema: Schema, settings: Mapping[Key, Found]) -> list[str]:
    """Return what is wrong between settings that are right one by one."""
    if schema.rejected_logins > 1:
        return []
    limit = settings["rejected_logins",]
    unpinned = sorted(name for name, own in schema.environments.items() if own.form_fields is None)
    if not unpinned:
        return []
    names = ", ".join(limit.spell(("environments", name, "form_fields")) for name in unpinned)
    problem = f"is 1, but finding out the field names takes two requests; set {names} to documented or rfc6749, "
    return [f"{limit.where}: {problem}or allow at least 2"]


def _misplaced(found: Found, environments: Collection[str]) -> str | None:
    """Say what is wrong with where a value stands, if anything."""
    key = found.key
    if key in (CONFIG_FILE, SECRETS_DIR):
        return f"can be set in the environment only, as {variable(key)}: it says where to look for the rest"
    if is_known(found):
        if len(key) > 1 and not _ENVIRONMENT_NAME.fullmatch(key[1]):
            return "an environment's name is made of a-z, 0-9 and single underscores between them"
        return None
    names = [found.spell(other) for other in known_keys({*environments, *KNOWN_ENVIRONMENTS})]
    close = difflib.get_close_matches(found.spell(key), names, n=1)
    return f"there is no such setting; did you mean {close[0]}?" if close else "there is no such setting"


def _wrong(found: Found, why: str) -> str:
    value = found.value
    private = found.key[-1] in NOT_REPEATED or found.source.startswith("secret file")
    if not private and isinstance(value, str) and 0 < len(value) <= _LONGEST:
        why += f" (it is {value!r})"
    return f"{found.where}: {why}"


def _missing(key: Key) -> str:
    _, name, _ = key
    enabled = variable(("environments", name, "enabled"))
    text = f"{variable(key)}: is missing; set it, or leave {name} out with {enabled}=false"
    meant = difflib.get_close_matches(name, KNOWN_ENVIRONMENTS, n=1)
    return text if name in KNOWN_ENVIRONMENTS or not meant else f"{text} (or did you mean {meant[0]}?)"


def _tree(settings: Iterable[Found]) -> dict[str, Any]:
    tree: dict[str, Any] = {"environments": {}}
    for found in settings:
        branch = tree
        for name in found.key[:-1]:
            branch = branch.setdefault(name, {})
        if found.value == {}:
            branch.setdefault(found.key[-1], {})
        else:
            branch[found.key[-1]] = found
    return tree
