"""Values of secrets from the operator: typed without echo, or lines on standard input; never arguments or variables."""

from __future__ import annotations

import getpass
import json
import os
import sys
import warnings
from collections.abc import Collection

from monitor.config import values
from monitor.config.schema import SECRETS
from monitor.config.secret_names import intended
from monitor.config.sources import MAX_SECRET_FILE, Key, file_name
from monitor.errors import InstallationError
from monitor.output.standard_streams import print_error

_MAX_INPUT = 1024 * 1024  # bytes
_MAX_TYPED = 4095  # bytes: the kernel drops the rest of a line, termios(3)
_LABELS = {"client_id": "client id", "client_secret": "client secret", "username": "user name"}
_NO_TERMINAL = "there is no terminal to ask for the values; give them on standard input, with --stdin"
_FORM = 'NAME=VALUE or {"NAME": "VALUE"}, with a NAME such as tigr_environments__prod__password'


def label(key: Key) -> str:
    """Return the name of a secret for people: `prod client secret`."""
    return f"{key[1]} {_LABELS.get(key[2], key[2].replace('_', ' '))}"


def problem(key: Key, value: str) -> str | None:
    """Return why a value cannot be this secret, without the value; None if it can."""
    try:
        (values.client_id if key[2] == "client_id" else values.credential)(value)
    except ValueError as error:
        return str(error)
    if len(value.encode()) > MAX_SECRET_FILE:
        return f"is longer than {MAX_SECRET_FILE} bytes"
    return None


def require_terminal() -> None:
    """Raise `InstallationError` if the operator cannot be asked, before anything is changed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise InstallationError(_NO_TERMINAL, exit_status=2) from None


def ask_secret(key: Key, *, is_set: bool) -> str | None:
    """Ask for a secret without echo until it is valid; return it, or None to keep the present one.

    Raises `InstallationError` at the end of the input.
    """
    while True:
        value = _typed(f"{label(key)}{' (set; Enter keeps it)' if is_set else ''}: ")
        if value == "" and is_set:
            return None
        if len(value.encode(errors="replace")) >= _MAX_TYPED:
            reason: str | None = "is longer than a terminal can read; give it on standard input, with --stdin"
        else:
            reason = problem(key, value)
        if reason is None:
            return value
        print_error(f"  {label(key)}: {reason}")


def ask_yes(text: str, *, default: bool) -> bool:
    """Ask on the terminal until the reply is yes or no. Raises `InstallationError` at the end of the input."""
    hint = "[Y/n]" if default else "[y/N]"
    while True:
        try:
            with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123 - unbuffered
                terminal.write(f"{text} {hint} ".encode())
                line = terminal.readline()
        except OSError:
            raise InstallationError(_NO_TERMINAL, exit_status=2) from None
        if not line:
            raise InstallationError("the input has ended; nothing else was changed", exit_status=2)
        reply = line.strip().lower()
        if reply in {b"", b"y", b"yes", b"n", b"no"}:
            return default if not reply else reply.startswith(b"y")


def read_value(key: Key) -> str:
    """Return the value of one secret from standard input; one line feed at its end is dropped.

    Raises `InstallationError`.
    """
    value = _standard_input().removesuffix("\n")
    reason = problem(key, value)
    if reason is not None:
        raise InstallationError(f"{label(key)}: {reason}; the old value stays in force", exit_status=2)
    return value


def read_values(environments: Collection[str]) -> dict[Key, str]:
    """Return the secrets of these environments from the lines of standard input.

    Raises `InstallationError` with every problem. No message quotes a line, which may contain a secret.
    """
    given: dict[Key, str] = {}
    problems: list[str] = []
    known = [("environments", environment, name) for environment in environments for name in SECRETS]
    for number, line in enumerate(_standard_input().split("\n"), 1):
        if not line.strip():
            continue
        try:
            for name, value in _pairs(line):
                key = _known_key(name, known)
                if key in given:
                    raise ValueError(f"{file_name(key)} is given a second time")  # noqa: TRY301
                if reason := problem(key, value):
                    raise ValueError(f"{file_name(key)}: {reason}")  # noqa: TRY301
                given[key] = value
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise InstallationError(
            "\n".join(["standard input is wrong, and nothing was changed:", *problems]), exit_status=2
        )
    return given


def _pairs(line: str) -> list[tuple[str, str]]:
    if not line.lstrip().startswith("{"):
        name, separator, value = line.partition("=")
        if not separator:
            raise ValueError(f"it must be {_FORM}")
        return [(name.strip(), value)]
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):  # its text may quote the line
        content = None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError(f"it must be {_FORM}")
    return list(content.items())


def _known_key(name: str, known: Collection[Key]) -> Key:
    """Return the key of a variable or a file. Raises `ValueError`, which does not quote the name."""
    for key in known:
        if name.lower() == file_name(key):
            return key
    meant = intended(name, known)
    hint = f"; did you mean {file_name(meant)}?" if meant else f"; it must be {_FORM}, of an environment to monitor"
    raise ValueError(f"its NAME is not a secret of these environments{hint}")


def _typed(prompt: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would read with echo
            return getpass.getpass(prompt)
    except (getpass.GetPassWarning, OSError):
        raise InstallationError(_NO_TERMINAL, exit_status=2) from None
    except EOFError:
        raise InstallationError("the input has ended; this value was not stored", exit_status=2) from None
    except UnicodeDecodeError:  # it contains the value
        return "\udcff"  # which is refused: it is not UTF-8


def _standard_input() -> str:
    if sys.stdin is None:
        raise InstallationError("standard input is closed; write the values to it", exit_status=2)
    content = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(content) > _MAX_INPUT:
        raise InstallationError(f"standard input has more than {_MAX_INPUT} bytes", exit_status=2)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InstallationError("standard input is not UTF-8", exit_status=2) from None
