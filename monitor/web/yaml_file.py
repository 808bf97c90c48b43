"""A YAML file that an operator wrote: its values as plain text, and complaints that say where and quote no value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError

_LARGEST = 256 * 1024  # bytes, and characters
_DEEPEST = 8  # levels


@dataclass(frozen=True, slots=True)
class Problems:
    """What is wrong with a file, collected so that all of it is told at once."""

    where: str
    found: list[str] = field(default_factory=list)

    def add(self, key: str, text: str) -> None:
        """Say what is wrong with `key`, or with the whole file where that is ''."""
        self.found.append(f"{self.where}: {key}: {text}" if key else f"{self.where}: {text}")

    def unknown(self, key: str, known: Iterable[str]) -> None:
        """Say that there is no such key, and which of `known` was perhaps meant."""
        meant = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        self.add(key, f"there is no such key; did you mean {meant[0]}?" if meant else "there is no such key")

    def raise_any(self) -> None:
        """Raise `ConfigError` if there is a problem."""
        if self.found:
            raise ConfigError(tuple(self.found))


def content(path: Path, problems: Problems) -> dict[str, Any] | None:
    """Return the mapping that the file holds; None after a complaint.

    Every scalar is text as it was written: a name such as `on` or `007` stays one.
    """
    import yaml  # of some size, and only those need it who have such a file

    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1).decode("utf-8-sig")
        if len(text) > _LARGEST:
            problems.add("", f"is longer than {_LARGEST} characters")
            return None
        # The plainest loader there is: it makes texts, lists and mappings, and nothing else.
        found = _plain(yaml.compose(text, Loader=yaml.BaseLoader), problems)
    except OSError as error:
        problems.add("", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        problems.add("", "is not UTF-8 text")
    except yaml.MarkedYAMLError as error:  # its own words quote the file
        problems.add(f"line {error.problem_mark.line + 1}" if error.problem_mark else "", "is not valid YAML")
    except (yaml.YAMLError, RecursionError):
        problems.add("", "is not valid YAML")
    else:
        if isinstance(found, dict):
            return found
        problems.add("", "must hold a mapping: lines of `key: value`")
    return None


def _plain(node: Any, problems: Problems, key: str = "", depth: int = 0) -> Any:  # noqa: ANN401 # YAML holds anything
    """Return a node of YAML as plain values; of a key that is there twice one would be without effect."""
    import yaml

    if depth > _DEEPEST:
        problems.add(key, "is nested too deep")
    elif isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            inner = f"{key}.{name}" if key else name
            if name in found:
                problems.add(inner, f"is there twice, again in line {name_node.start_mark.line + 1}: remove one")
            found[name] = _plain(value_node, problems, inner, depth + 1)
        return found
    elif isinstance(node, yaml.SequenceNode):
        return [_plain(item, problems, key, depth + 1) for item in node.value]
    elif isinstance(node, yaml.ScalarNode):
        return "" if node.value in ("~", "null") and node.style is None else node.value
    return ""


class Section:
    """A mapping of the file, from which values are taken; a value of '' is one that is not set."""

    def __init__(self, values: dict[str, Any], problems: Problems, name: str = "") -> None:
        self.values = values
        self._problems = problems
        self._name = name
        self._asked: list[str] = []

    def __contains__(self, name: str) -> bool:
        return bool(self.values.get(name))

    def wrong(self, name: str, why: str) -> None:
        """Complain of a value."""
        self._problems.add(f"{self._name}.{name}" if self._name else name, why)

    def section(self, name: str) -> Section:
        """Return the mapping under `name`; an empty one if there is none."""
        self._asked.append(name)
        value = self.values.get(name) or {}
        if not isinstance(value, dict):
            self.wrong(name, "must be a mapping, with lines of `key: value` below it")
            value = {}
        return Section(value, self._problems, f"{self._name}.{name}" if self._name else name)

    def text(self, name: str) -> str:
        """Return a single value."""
        self._asked.append(name)
        value = self.values.get(name, "")
        if isinstance(value, str):
            return value
        self.wrong(name, "must be a single value")
        return ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list."""
        self._asked.append(name)
        value = self.values.get(name) or []
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        self.wrong(name, "must be a list of texts")
        return ()

    def one_of(self, name: str, words: tuple[str, ...]) -> str:
        """Return one of `words`, the first of which is the default."""
        value = self.text(name) or words[0]
        if value in words:
            return value
        self.wrong(name, f"must be {', '.join(words[:-1])} or {words[-1]}")
        return words[0]

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        return self.one_of(name, ("true", "false") if default else ("false", "true")) == "true"

    def file(self, name: str, directory: Path) -> Path | None:
        """Return a path, which may be relative to `directory`."""
        value = self.text(name)
        if "\0" in value:
            self.wrong(name, "has a NUL in it, which no path can hold")
            return None
        return directory / value if value else None

    def refuse(self, name: str, why: str) -> None:
        """Complain if there is a value that cannot be honoured."""
        self._asked.append(name)
        if name in self:
            self.wrong(name, why)

    def refuse_the_rest(self) -> None:
        """Call every key unknown that nobody asked for."""
        for name in self.values:
            if name not in self._asked:
                self._problems.unknown(f"{self._name}.{name}" if self._name else name, self._asked)
