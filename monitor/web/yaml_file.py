"""YAML files of operators: values as plain text, and problems that name the key and quote no value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from monitor.errors import ConfigError

MAX_SIZE = 256 * 1024  # bytes
_MAX_DEPTH = 8  # levels
_BLANK = ("", "---", "...", "~", "null")  # lines of a document without content


@dataclass(frozen=True, slots=True)
class FileProblems:
    """Problems of one file, collected so that the operator sees all of them at once."""

    prefix: str
    messages: list[str] = field(default_factory=list)

    def add(self, key: str, text: str) -> None:
        """Add a problem of `key`, or of the whole file if that is ''."""
        self.messages.append(f"{self.prefix}: {key}: {text}" if key else f"{self.prefix}: {text}")

    def raise_any(self) -> None:
        """Raise `ConfigError` if there is a problem."""
        if self.messages:
            raise ConfigError(tuple(self.messages))


def is_blank(content: bytes) -> bool:
    """Return whether a file has no content but blank lines and comments."""
    lines = (line.strip() for line in content.decode("utf-8-sig", errors="replace").splitlines())
    return all(line in _BLANK or line.startswith("#") for line in lines)


def parse_mapping(content: bytes, problems: FileProblems) -> dict[str, Any] | None:
    """Return the mapping in the content of a file, or None after a problem was added; a blank file is an empty mapping.

    Every scalar is text as written, so that a name such as `on` or `007` keeps its form; null is ''.
    """
    if is_blank(content):
        return {}
    import yaml  # imported here, because most installations have no web configuration file

    try:
        text = content.decode("utf-8-sig")
        # The base loader creates texts, lists and mappings only, and no object of another type.
        value = _plain(yaml.compose(text, Loader=yaml.BaseLoader), problems)
    except UnicodeDecodeError:
        problems.add("", "is not UTF-8 text")
    except yaml.MarkedYAMLError as error:  # its text is not shown, because it quotes the file
        problems.add(f"line {error.problem_mark.line + 1}" if error.problem_mark else "", "is not valid YAML")
    except (yaml.YAMLError, RecursionError):
        problems.add("", "is not valid YAML")
    else:
        if isinstance(value, dict):
            return value
        problems.add("", "must hold a mapping: lines of `key: value`")
    return None


def _plain(node: Any, problems: FileProblems, key: str = "", depth: int = 0) -> Any:  # noqa: ANN401 # any YAML node
    """Return a YAML node as plain values.

    A duplicate key is a problem, because only one of its values would have an effect.
    """
    import yaml

    if depth > _MAX_DEPTH:
        problems.add(key, "is nested too deep")
    elif isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            inner = f"{key}.{name}" if key else name
            if name in mapping:
                problems.add(inner, f"is there twice, again in line {name_node.start_mark.line + 1}: remove one")
            mapping[name] = _plain(value_node, problems, inner, depth + 1)
        return mapping
    elif isinstance(node, yaml.SequenceNode):
        return [_plain(item, problems, key, depth + 1) for item in node.value]
    elif isinstance(node, yaml.ScalarNode):
        return "" if node.value in ("~", "null") and node.style is None else node.value
    return ""
