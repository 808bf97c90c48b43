"""Faults in words, for who types them: `status=500`, `drip=0.5 at=body`, `certificate=expired`, `hang`."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from typing import Any

from monitor.simulator.faults import HostFault, Status


def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=\d)", "_", name).lower()


_FAULTS: dict[str, Any] = {_in_words(kind.__name__): kind for kind in typing.get_args(HostFault)}


def fault_from(words: Sequence[str]) -> HostFault:
    """The fault that these words name: `NAME[=VALUE] [OPTION=VALUE]...`.

    The value after the name is the fault's first option. An option that begins with a capital is a header of `status`.
    Mappings, lists and `pong` are JSON. Raises ValueError, saying what was not understood.
    """
    name, equals, value = words[0].partition("=") if words else ("", "", "")
    kind = _FAULTS.get(name)
    if kind is None:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(_FAULTS)}")
    options = [word.partition("=")[::2] for word in words[1:]]
    if equals:
        if not fields(kind):
            raise ValueError(f"{name} takes no value")
        options.insert(0, (fields(kind)[0].name, value))
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for option, text in options:
        if kind is Status and option[:1].isupper():
            given["headers"] = {**given.get("headers", {}), option: text}
        elif option in hints:
            given[option] = _converted(name, option, text, hints[option])
        else:
            raise ValueError(f"{name} has no option {option!r}")
    fault: HostFault = kind(**given)
    return fault


def words_of(fault: HostFault | None) -> str:
    """How one would type it."""
    if fault is None:
        return "well"
    given = [f for f in fields(fault) if getattr(fault, f.name) != _default(f)]
    return " ".join([_in_words(type(fault).__name__), *(f"{f.name}={_text(getattr(fault, f.name))}" for f in given)])


def vocabulary() -> str:
    """Every fault with its options and what it does, for a terminal."""
    lines = []
    for name, kind in _FAULTS.items():
        options = " ".join(f"{f.name}={_text(_default(f))}" for f in fields(kind))
        lines += [f"  {name} {options}".rstrip(), f"      {kind.__doc__}"]
    return "\n".join(lines)


def _converted(name: str, option: str, text: str, hint: Any) -> Any:  # noqa: ANN401 - whatever the option takes
    try:
        if hint is bytes:
            return text.encode()
        if isinstance(hint, type) and issubclass(hint, (int, float, str)):
            return hint(text)
        if hint is Any:
            return _json_or_text(text)
        value = json.loads(text)
    except ValueError:
        expected = (
            f"one of {', '.join(hint)}" if isinstance(hint, type) and issubclass(hint, StrEnum) else "of its kind"
        )
        raise ValueError(f"{name}: {option}={text} is not {expected}") from None
    return tuple(value) if typing.get_origin(hint) is tuple else value


def _json_or_text(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value


def _default(option: Field[Any]) -> Any:  # noqa: ANN401 - as above
    return option.default_factory() if option.default_factory is not MISSING else option.default


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, (str, int, float)) else json.dumps(value)
