"""Sources of settings for pydantic-settings: the environment, a TOML file, secret files.

The library's own sources ignore unknown variables, strip blanks from secrets, and fail on unrelated files in the
directory of secrets.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from monitor.machine.files import read_regular

PREFIX = "TIGR_"

Key = tuple[str, ...]  # the path of a setting in the tree, in lower case: ("environments", "prod", "password")

_ENCODING = "utf-8-sig"  # UTF-8; the byte order mark that editors on Windows write is dropped
MAX_SECRET_FILE = 65536  # bytes
_MAX_CONFIG_FILE = 1024 * 1024  # bytes

# The variables that Kubernetes sets in every container for a Service whose name begins with `tigr`. The pattern
# includes the value, because TIGR_LISTEN_PORT=9844 is a mistake of the operator, not a variable from Kubernetes.
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=\d+|PORT=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=.*)"
)


@dataclass(frozen=True, slots=True)
class SourceValue:
    """A value as its source contains it. It may be a secret, so it is in no `repr`."""

    key: Key
    name: str  # the full name of the setting, as the operator writes it in that source
    source: str  # the source, for display
    name_of: Callable[[Key], str] = field(repr=False)  # the name of any other setting in that source
    value: object = field(repr=False)


def variable(key: Key) -> str:
    """Return the name of the environment variable that sets `key`."""
    return (PREFIX + "__".join(key)).upper()


def file_name(key: Key) -> str:
    """Return the name of the secret file that sets `key`."""
    return variable(key).lower()


def file_key(name: str) -> Key | None:
    """Return the key that the secret file `name` sets; None if it is not a file of the monitor.

    systemd puts the id of LoadCredential= (`tigr_`) before the name of each file, so the prefix may occur twice.
    """
    if not name.upper().startswith(PREFIX):
        return None
    return key_of(name[len(PREFIX) :] if name.upper().startswith(PREFIX * 2) else name)


def dotted(key: Key) -> str:
    """Return the name of `key` in a TOML file."""
    return ".".join(key)


def key_of(name: str) -> Key:
    """Return the key that the environment variable or secret file `name` sets."""
    return tuple(name[len(PREFIX) :].lower().split("__"))


def printable(text: str) -> str:
    """Return `text`, escaped if it contains a character that is not printable."""
    return text if text.isprintable() else ascii(text)[1:-1]


class Source(PydanticBaseSettingsSource):
    """A source of settings: its values by key, and the problems of the source itself."""

    def __init__(self, settings_cls: type[BaseSettings], label: str, name_of: Callable[[Key], str]) -> None:
        super().__init__(settings_cls)
        self.label = label
        self.name_of = name_of  # returns the name of a setting in this source
        self.values: dict[Key, SourceValue] = {}
        self.problems: list[str] = []
        self.unreadable: list[Key] = []  # keys whose values could not be read; (): all of them
        self.ignored: list[str] = []  # paths of files that have another name than the files of the monitor

    def __call__(self) -> dict[str, Any]:
        """Return the values as a tree, for the library to merge."""
        return _tree(self.values.values())

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - the library's signature
        """Return the value of a setting at the top of the tree, its name, and that it is not encoded as JSON."""
        return self().get(field_name), field_name, False

    def add(self, key: Key, name: str, value: object, label: str = "") -> None:
        """Add a value. A second value for the same key is a problem: its name differs only by case."""
        if key in self.values:
            self.problems.append(f"{name}: is the same setting as {self.values[key].name}; keep one of them")
        else:
            self.values[key] = SourceValue(key, name, label or self.label, self.name_of, value)

    def fail(self, name: str, reason: str, key: Key = ()) -> None:
        """Record that `name` could not be read."""
        self.problems.append(f"{name}: {reason}")
        self.unreadable.append(key)

    def remove(self, keys: Collection[Key]) -> None:
        """Remove the values at these keys, before the library merges the sources."""
        self.values = {key: value for key, value in self.values.items() if key not in keys}


class EnvironmentSource(Source):
    """The variables whose names begin with the prefix, in either case."""

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls, "environment", variable)
        links = []
        for name in sorted(environ):
            if not name.upper().startswith(PREFIX):
                continue
            if "__" not in name and _SERVICE_LINK.fullmatch(f"{name}={environ[name]}"):
                links.append(name)
            else:
                self.add(key_of(name), printable(name), environ[name])
        if links:
            self.problems.append(
                f"{', '.join(links)}: set by Kubernetes for a Service of that name; "
                "write `enableServiceLinks: false` into the pod's spec"
            )


class TomlSource(Source):
    """A TOML file. No message quotes the content of the file."""

    def __init__(self, settings_cls: type[BaseSettings], path: str, setting: str) -> None:
        """Read the file at `path`, the value of `setting`."""
        file = printable(path)
        super().__init__(settings_cls, f"file {file}", dotted)
        try:
            leaves = list(_leaves(tomllib.loads(read_regular(path, _MAX_CONFIG_FILE).decode(_ENCODING))))
        except OSError as error:
            self.fail(setting, f"cannot read {file}: {error.strerror}")
        except UnicodeDecodeError:
            self.fail(file, "is not UTF-8, which TOML must be")
        except (ValueError, RecursionError) as error:  # a TOMLDecodeError, a number too long, tables nested too deeply
            position = re.search(r"\(at (.*)\)$", str(error))  # the rest of the message may quote the file
            self.fail(file, f"is not valid TOML{f', see {position[1]}' if position else ''} (text needs quotes)")
        else:
            for names, value in leaves:
                self.add(tuple(name.lower() for name in names), f"{printable(dotted(names))} in {file}", value)


class SecretFilesSource(Source):
    """The files in a directory whose names begin with the prefix. Other files are not read."""

    def __init__(self, settings_cls: type[BaseSettings], path: str, setting: str) -> None:
        """Read the files in the directory at `path`, the value of `setting`."""
        super().__init__(settings_cls, "secret file", file_name)
        try:
            names = sorted(entry.name for entry in Path(path).iterdir())
        except OSError as error:
            self.fail(setting, f"cannot read the directory {printable(path)}: {error.strerror}")
            return
        for name in names:
            key = file_key(name)
            if key is None:
                self.ignored.append(str(Path(path, name)))
            else:
                self._read(Path(path, name), key)

    def _read(self, path: Path, key: Key) -> None:
        """Read one file. Exactly one line feed at its end is dropped."""
        name = printable(str(path))
        try:
            text = read_regular(path, MAX_SECRET_FILE).decode(_ENCODING).removesuffix("\n")
        except OSError as error:
            self.fail(name, f"cannot be read: {error.strerror}", key)
        except UnicodeDecodeError:
            self.fail(name, "is not UTF-8", key)
        else:
            self.add(key, name, text, f"secret file {name}")


def merged(sources: Iterable[Source]) -> dict[Key, SourceValue]:
    """Return the values of all sources; for each key the value of the later source."""
    return {key: value for source in sources for key, value in source.values.items()}


def _leaves(tree: Mapping[str, object], above: Key = ()) -> Iterator[tuple[Key, object]]:
    for name, value in tree.items():
        key = (*above, name)
        if isinstance(value, dict) and value:
            yield from _leaves(value, key)
        else:
            yield key, value


def _tree(values: Iterable[SourceValue]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for value in values:
        branch = tree
        for name in value.key[:-1]:
            branch = branch.setdefault(name, {})
        if value.value == {}:
            branch.setdefault(value.key[-1], {})
        else:
            branch[value.key[-1]] = value.value
    return tree
