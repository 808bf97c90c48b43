"""Where settings are written down: the environment, a TOML file, secret files. Read as found, not judged."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PREFIX = "TIGR_"

Key = tuple[str, ...]  # a setting's place in the tree, in lower case: ("environments", "prod", "password")

_LARGEST_SECRET = 65536  # bytes

# What Kubernetes tells every container about a Service whose name begins with `tigr`. The value matters, too: who
# writes TIGR_LISTEN_PORT=9844 is a person.
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST=.*|SERVICE_PORT(_\w+)?=\d+|PORT=\w+://.*|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=.*)"
)


@dataclass(frozen=True, slots=True)
class Found:
    """A value as it was found. It may be a secret, and is in no `repr`."""

    key: Key
    where: str  # its full name as the operator would type it in that source
    source: str  # which source, for display
    spell: Callable[[Key], str] = field(repr=False)  # what another setting is called there
    value: object = field(repr=False)


@dataclass
class Layer:
    """What one source says, and what is wrong with the source itself."""

    source: str
    spell: Callable[[Key], str]  # what a setting is called there
    found: dict[Key, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unreadable: list[Key] = field(default_factory=list)  # what stands there, but could not be read; (): everything

    def add(self, key: Key, where: str, value: object, source: str = "") -> None:
        """Keep `value`. A second one for the same key, in another case, is a problem: nobody knows which was meant."""
        if key in self.found:
            self.problems.append(f"{where}: is the same setting as {self.found[key].where}; keep one of them")
        else:
            self.found[key] = Found(key, where, source or self.source, self.spell, value)

    def fail(self, where: str, why: str, key: Key = ()) -> None:
        """Note that `where` could not be read."""
        self.problems.append(f"{where}: {why}")
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


def visible(text: str) -> str:
    """Return `text` fit for a message: what is not printable is escaped."""
    return text if text.isprintable() else ascii(text)[1:-1]


def from_environment(environ: Mapping[str, str]) -> Layer:
    """Read the variables that begin with the prefix, in either case."""
    layer = Layer("environment", variable)
    links = []
    for name in sorted(environ):
        if not name.upper().startswith(PREFIX):
            continue
        if "__" not in name and _SERVICE_LINK.fullmatch(f"{name}={environ[name]}"):
            links.append(name)
        else:
            layer.add(key_of(name), visible(name), environ[name])
    if links:
        layer.problems.append(
            f"{', '.join(links)}: set by Kubernetes for a Service of that name; "
            "write `enableServiceLinks: false` into the pod's spec"
        )
    return layer


def from_toml(path: str, setting: str) -> Layer:
    """Read the TOML file at `path`, which `setting` named. No message repeats anything of its content."""
    shown = visible(path)
    layer = Layer(f"file {shown}", dotted)
    try:
        leaves = list(_leaves(tomllib.loads(Path(path).read_bytes().decode())))
    except OSError as error:
        layer.fail(setting, f"cannot read {shown}: {error.strerror}")
    except UnicodeDecodeError:
        layer.fail(shown, "is not UTF-8, which TOML must be")
    except (ValueError, RecursionError) as error:  # a TOMLDecodeError, or a number too long, or tables too deep
        place = re.search(r"\(at (.*)\)$", str(error))  # the rest of the message may quote the file
        layer.fail(shown, f"is not valid TOML{f', see {place[1]}' if place else ''} (text needs quotes)")
    else:
        for names, value in leaves:
            layer.add(tuple(name.lower() for name in names), f"{visible(dotted(names))} in {shown}", value)
    return layer


def from_directory(path: str, setting: str) -> Layer:
    """Read the files in the directory at `path`, which `setting` named, whose names begin with the prefix.

    Whatever else is in the directory is nobody's business. Exactly one line feed at a file's end is dropped.
    """
    layer = Layer("secret file", file_name)
    try:
        names = sorted(entry.name for entry in Path(path).iterdir())
    except OSError as error:
        layer.fail(setting, f"cannot read the directory {visible(path)}: {error.strerror}")
        return layer
    for name in names:
        if name.upper().startswith(PREFIX):
            _read_secret(layer, Path(path, name), key_of(name))
    return layer


def _read_secret(layer: Layer, path: Path, key: Key) -> None:
    where = visible(str(path))
    try:
        if not path.is_file():  # to open a pipe would wait for whoever writes into it
            layer.fail(where, "is not a file", key)
            return
        with path.open("rb") as file:
            content = file.read(_LARGEST_SECRET + 1)
        text = content.decode().removesuffix("\n")
    except OSError as error:
        layer.fail(where, f"cannot be read: {error.strerror}", key)
    except UnicodeDecodeError:
        layer.fail(where, "is not UTF-8", key)
    else:
        if len(content) > _LARGEST_SECRET:
            layer.fail(where, f"is larger than {_LARGEST_SECRET} bytes", key)
        else:
            layer.add(key, where, text, f"secret file {where}")


def _leaves(tree: Mapping[str, object], above: Key = ()) -> Iterator[tuple[Key, object]]:
    for name, value in tree.items():
        key = (*above, name)
        if isinstance(value, dict) and value:
            yield from _leaves(value, key)
        else:
            yield key, value
