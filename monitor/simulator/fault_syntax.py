"""The syntax of faults in commands: `status=500`, `drip=0.5 at=body`, `certificate=expired`, `hang`."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from enum import StrEnum
from typing import Any

from monitor.simulator.faults import HostFault, Status


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=\d)", "_", name).lower()


_FAULTS: dict[str, Any] = {_snake_case(fault_type.__name__): fault_type for fault_type in typing.get_args(HostFault)}


def parse_fault(arguments: Sequence[str]) -> HostFault:
    """Return the fault of these arguments: `NAME[=VALUE] [OPTION=VALUE]...`.

    The value after the name is the first option of the fault. An option with a capital first letter is a header of
    `status`. Mappings, lists and `pong` are JSON. Raises ValueError for unknown names and invalid values.
    """
    name, equals, value = arguments[0].partition("=") if arguments else ("", "", "")
    fault_type = _FAULTS.get(name)
    if fault_type is None:
        raise ValueError(f"unknown fault {name!r}; the faults are {', '.join(_FAULTS)}")
    options = [argument.partition("=")[::2] for argument in arguments[1:]]
    if equals:
        if not fields(fault_type):
            raise ValueError(f"{name}: takes no value")
        options.insert(0, (fields(fault_type)[0].name, value))
    hints = typing.get_type_hints(fault_type)
    given: dict[str, Any] = {}
    for option, text in options:
        if fault_type is Status and option[:1].isupper():
            given["headers"] = {**given.get("headers", {}), option: text}
        elif option in hints:
            given[option] = _converted(name, option, text, hints[option])
        else:
            raise ValueError(f"{name}: unknown option {option!r}")
    fault: HostFault = fault_type(**given)
    return fault


def format_fault(fault: HostFault | None) -> str:
    """Return the fault in the syntax of commands; "none" without a fault."""
    if fault is None:
        return "none"
    given = [f for f in fields(fault) if getattr(fault, f.name) != _default(f)]
    return " ".join([_snake_case(type(fault).__name__), *(f"{f.name}={_text(getattr(fault, f.name))}" for f in given)])


def describe_faults() -> str:
    """Return a description of every fault with its options, for a terminal."""
    lines = []
    for name, fault_type in _FAULTS.items():
        options = " ".join(f"{f.name}={_text(_default(f))}" for f in fields(fault_type))
        lines += [f"  {name} {options}".rstrip(), f"      {fault_type.__doc__}"]
    return "\n".join(lines)


def _converted(name: str, option: str, text: str, hint: Any) -> Any:  # noqa: ANN401 - options have many types
    try:
        if hint is bytes:
            return text.encode()
        if isinstance(hint, type) and issubclass(hint, (int, float, str)):
            return hint(text)
        if hint is Any:
            return _json_or_text(text)
        value = json.loads(text)
    except ValueError:
        raise ValueError(f"{name}: {option}={text} is not {_expected(hint)}") from None
    return tuple(value) if typing.get_origin(hint) is tuple else value


def _expected(hint: Any) -> str:  # noqa: ANN401 - as above
    if isinstance(hint, type):
        numbers = {int: "an integer", float: "a number"}
        return f"one of {', '.join(hint)}" if issubclass(hint, StrEnum) else numbers.get(hint, "valid")
    return "valid JSON"


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
