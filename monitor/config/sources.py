"""Sources of settings: the environment, a TOML file, secret files. They are read here, and validated elsewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "TIGR_"

Key = tuple[str, ...]  # the path of a setting in the tree, in lower case: ("environments", "prod", "password")

_MAX_SECRET_FILE = 65536  # bytes

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


@dataclass
class Layer:
    """The values of one source, and the problems of the source itself."""

    source: str
    name_of: Callable[[Key], str]  # the name of a setting in this source
    values: dict[Key, SourceValue] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unreadable: list[Key] = field(default_factory=list)  # keys whose values could not be read; (): all of them

    def add(self, key: Key, name: str, value: object, source: str = "") -> None:
        """Add a value. A second value for the same key is a problem: its name differs only by case."""
        if key in self.values:
            self.problems.append(f"{name}: is the same setting as {self.values[key].name}; keep one of them")
        else:
            self.values[key] = SourceValue(key, name, source or self.source, self.name_of, value)

    def fail(self, name: str, reason: str, key: Key = ()) -> None:
        """Record that `name` could not be read."""
        self.problems.append(f"{name}: {reason}")
        self.unreadable.append(key)


def variable(key: Key) -> str:
    """Return the name of the environment variable that sets `key`."""
    return (PREFIX + "__".join(key)).upper()


def file_name(key: Key) -> str:
    """Return the name of the secret file that sets `key`."""
    return variable(key).lower()


def dotted(key: Key) -> str:
    """Return the name of `key` in a TOML file."""
    return ".".join(key)


def key_of(name: str) -> Key:
    """Return the key that the environment variable or secret file `name` sets."""
    return tuple(name[len(PREFIX) :].lower().split("__"))


def printable(text: str) -> str:
    """Return `text`, escaped if it contains a character that is not printable."""
    return text if text.isprintable() else ascii(text)[1:-1]


def from_environment(environ: Mapping[str, str]) -> Layer:
    """Read the variables whose names begin with the prefix, in either case."""
    layer = Layer("environment", variable)
    links = []
    for name in sorted(environ):
        if not name.upper().startswith(PREFIX):
            continue
        if "__" not in name and _SERVICE_LINK.fullmatch(f"{name}={environ[name]}"):
            links.append(name)
        else:
            layer.add(key_of(name), printable(name), environ[name])
    if links:
        layer.problems.append(
            f"{', '.join(links)}: set by Kubernetes for a Service of that name; "
            "write `enableServiceLinks: false` into the pod's spec"
        )
    return layer


def from_toml(path: str, setting: str) -> Layer:
    """Read the TOML file at `path`, the value of `setting`. No message quotes the content of the file."""
    file = printable(path)
    layer = Layer(f"file {file}", dotted)
    try:
        leaves = list(_leaves(tomllib.loads(Path(path).read_bytes().decode())))
    except OSError as error:
        layer.fail(setting, f"cannot read {file}: {error.strerror}")
    except UnicodeDecodeError:
        layer.fail(file, "is not UTF-8, which TOML must be")
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, a number too long, or tables nested too deeply
        position = re.search(r"\(at (.*)\)$", str(error))  # the rest of the message may quote the file
        layer.fail(file, f"is not valid TOML{f', see {position[1]}' if position else ''} (text needs quotes)")
    else:
        for names, value in leaves:
            layer.add(tuple(name.lower() for name in names), f"{printable(dotted(names))} in {file}", value)
    return layer


def from_directory(path: str, setting: str) -> Layer:
    """Read the files whose names begin with the prefix, in the directory at `path`, the value of `setting`.

    Other files are ignored. Exactly one line feed at the end of a file is dropped.
    """
    layer = Layer("secret file", file_name)
    try:
        names = sorted(entry.name for entry in Path(path).iterdir())
    except OSError as error:
        layer.fail(setting, f"cannot read the directory {printable(path)}: {error.strerror}")
        return layer
    for name in names:
        if name.upper().startswith(PREFIX):
            _read_secret(layer, Path(path, name), key_of(name))
    return layer


def _read_secret(layer: Layer, path: Path, key: Key) -> None:
    name = printable(str(path))
    try:
        if not path.is_file():  # opening a pipe would block until another process writes to it
            layer.fail(name, "is not a file", key)
            return
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_FILE + 1)
        text = content.decode().removesuffix("\n")
    except OSError as error:
        layer.fail(name, f"cannot be read: {error.strerror}", key)
    except UnicodeDecodeError:
        layer.fail(name, "is not UTF-8", key)
    else:
        if len(content) > _MAX_SECRET_FILE:
            layer.fail(name, f"is larger than {_MAX_SECRET_FILE} bytes", key)
        else:
            layer.add(key, name, text, f"secret file {name}")


def _leaves(tree: Mapping[str, object], above: Key = ()) -> Iterator[tuple[Key, object]]:
    for name, value in tree.items():
        key = (*above, name)
        if isinstance(value, dict) and value:
            yield from _leaves(value, key)
        else:
            yield key, value
