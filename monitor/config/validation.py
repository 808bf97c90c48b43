"""Problems of the settings, as messages for the operator: each begins with the name that the operator wrote."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

from pydantic import ValidationError

from monitor.config.client_certificate import FIELDS, ClientCertificate, problem
from monitor.config.maintenance_tables import MAINTENANCE
from monitor.config.schema import (
    CONFIG_FILE,
    KNOWN_ENVIRONMENTS,
    NEVER_QUOTED,
    SECRETS_DIR,
    Schema,
    is_known,
    known_keys,
)
from monitor.config.sources import Key, Source, SourceValue, merged, variable
from monitor.config.values import is_disabled

ENVIRONMENT_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")  # no double underscore: it separates the parts of a variable
_MAX_QUOTED = 60  # characters; a longer invalid value is not quoted


def remove_unknown(sources: Sequence[Source]) -> list[str]:
    """Remove the values without a setting from each source; return the problems of the sources and of the names.

    The library would merge a table over a value of the same name without an error, so this comes before the merge.
    """
    problems = [problem for source in sources for problem in source.problems]
    values = [value for source in sources for value in source.values.values()]
    environments = {value.key[1] for value in values if is_known(value) and len(value.key) > 1}
    for source in sources:
        unknown = {
            key: problem for key, value in source.values.items() if (problem := _name_problem(value, environments))
        }
        problems += [f"{source.values[key].name}: {problem}" for key, problem in unknown.items()]
        source.remove(unknown)
    return problems


def remove_disabled(sources: Sequence[Source]) -> None:
    """Remove the values of disabled environments from each source, because they need not be valid."""
    values = merged(sources)
    disabled = {key[1] for key, value in values.items() if key[2:] == ("enabled",) and is_disabled(value.value)}
    for source in sources:
        source.remove([key for key in source.values if disabled.intersection(key[1:2])])


def validate(sources: Sequence[Source]) -> tuple[Schema | None, list[str]]:
    """Return the validated settings, or the problems of their values.

    A value below an unreadable key of a source is not reported as missing: the file may contain it.
    """
    values = merged(sources)
    unreadable = [key for source in sources for key in source.unreadable]
    if not any(len(key) > 1 for key in values):
        return None, ["every environment is disabled: there is nothing to monitor; enable at least one"]
    try:
        schema = Schema.from_sources(sources)
        return schema, [*_contradictions(schema, values), *_client_certificate_problems(schema, values)]
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
    problems = []
    for detail in errors:
        key = tuple(str(part) for part in detail["loc"])
        if detail["type"] != "missing":
            problems.append(_invalid(values[key], str(detail["ctx"]["error"])))
        elif not any(key[: len(prefix)] == prefix for prefix in unreadable):
            problems.append(_missing(key))
    return None, problems


def _contradictions(schema: Schema, values: Mapping[Key, SourceValue]) -> list[str]:
    """Return the problems of valid settings that contradict each other."""
    if schema.rejected_logins > 1:
        return []
    limit = values["rejected_logins",]
    unpinned = sorted(name for name, settings in schema.environments.items() if settings.form_fields is None)
    if not unpinned:
        return []
    names = ", ".join(limit.name_of(("environments", name, "form_fields")) for name in unpinned)
    problem = f"is 1, but the detection of the field names needs two requests; set {names} to documented or rfc6749, "
    return [f"{limit.name}: {problem}or allow at least 2"]


def _client_certificate_problems(schema: Schema, values: Mapping[Key, SourceValue]) -> list[str]:
    """Return the problems of client certificates. Environments may share one, which is reported once."""
    problems: list[str] = []
    checked: set[ClientCertificate] = set()
    for name, settings in schema.environments.items():
        given = {key[2]: value for key, value in values.items() if key[1:2] == (name,) and key[2] in FIELDS}
        pair = settings.client_certificate
        if pair is None:
            needed = ("environments", name, "client_cert")
            problems += [f"{value.name}: needs {value.name_of(needed)}, which is not set" for value in given.values()]
        elif pair not in checked:
            checked.add(pair)
            certificate = given["client_cert"]
            failure = problem(pair, certificate.name_of(("environments", name, "client_key_password")))
            if failure is not None:
                field, reason = failure
                problems.append(_invalid(given.get(field, certificate), reason))
    return problems


def _name_problem(value: SourceValue, environments: Collection[str]) -> str | None:
    """Return the problem of a value's name; None if the source may contain a setting of that name."""
    key = value.key
    if key in (CONFIG_FILE, SECRETS_DIR):
        return f"can be set in the environment only, as {variable(key)}, because it locates the other settings"
    if key[0] == MAINTENANCE:
        return "planned maintenance is set by [[maintenance]] tables in the TOML file, and nowhere else"
    if is_known(value):
        if len(key) > 1 and not ENVIRONMENT_NAME.fullmatch(key[1]):
            return "the name of an environment consists of a-z, 0-9 and single underscores between them"
        return None
    known = known_keys({*environments, *KNOWN_ENVIRONMENTS})
    names = [value.name_of(other) for other in (*known, (MAINTENANCE,))]
    close = difflib.get_close_matches(value.name_of(key), names, n=1)
    return f"there is no such setting; did you mean {close[0]}?" if close else "there is no such setting"


def _invalid(value: SourceValue, reason: str) -> str:
    text = value.value
    private = value.key[-1] in NEVER_QUOTED or value.source.startswith("secret file")
    if not private and isinstance(text, str) and 0 < len(text) <= _MAX_QUOTED:
        reason += f" (it is {text!r})"
    return f"{value.name}: {reason}"


def _missing(key: Key) -> str:
    _, name, _ = key
    enabled = variable(("environments", name, "enabled"))
    text = f"{variable(key)}: is missing; set it, or disable {name} with {enabled}=false"
    close = difflib.get_close_matches(name, KNOWN_ENVIRONMENTS, n=1)
    return text if name in KNOWN_ENVIRONMENTS or not close else f"{text} (or did you mean {close[0]}?)"
