"""Validators of single values: each takes a value as its source contains it, and returns the value of the setting.

Each raises `ValueError` for an invalid value. The message does not quote the value, which may be a secret.
"""

from __future__ import annotations

import re
import ssl
import unicodedata
from collections.abc import Callable
from pathlib import Path

from monitor import durations
from monitor.config import urls
from monitor.config.proxy import ProxySettings, parse_proxy
from monitor.machine.files import MAX_PEM_FILE, read_regular
from monitor.machine.limits import local_limit
from monitor.model import FieldNames


def boolean(value: object) -> bool:
    """Return a switch: true or false, yes or no, on or off, 1 or 0."""
    truth = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    text = str(value).lower()
    if text not in truth:
        raise ValueError("must be true or false")
    return truth[text]


def is_disabled(value: object) -> bool:
    """Return whether the value of `enabled` disables its environment; an invalid value does not."""
    try:
        return not boolean(value)
    except ValueError:
        return False


def credential(value: object) -> str:
    """Return a credential unchanged: blanks, quotes and umlauts are part of it.

    A credential that the server or HTTP (RFC 7617 section 2) would refuse is a problem here already, because a refused
    login may lock the account. A carriage return is not dropped: it may be the last character of the secret.
    """
    text = _text(value)
    if "\n" in text or "\r" in text:
        raise ValueError(
            "has a line break in it (exactly one line feed at the end of a secret file is dropped; "
            "a file with Windows line endings keeps its carriage return)"
        )
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ValueError("has a control character in it")
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark; save the file without one")
    return text


def client_id(value: object) -> str:
    """Return a client id: a credential without a colon."""
    text = credential(value)
    if ":" in text:
        raise ValueError("has a colon in it, which HTTP Basic authentication cannot carry in a client id")
    return text


def url(value: object) -> str:
    """Return the URL of the token endpoint."""
    return urls.url(_text(value))


def base_url(value: object) -> str:
    """Return the base URL of the API, without trailing slashes."""
    return urls.base_url(_text(value))


def link(value: object) -> str:
    """Return the URL of a link on a page."""
    return urls.link(_text(value))


def listen(value: object) -> tuple[str, int]:
    """Return the host and the port on which the daemon listens."""
    return urls.listen(_text(value))


def duration(minimum: float) -> Callable[[object], float]:
    """Return a validator of durations of at least `minimum` seconds."""
    return lambda value: durations.parse(value, minimum)


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a validator that accepts these texts in any case."""

    def choose(value: object) -> str:
        choice = _text(value).lower()
        if choice not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")
        return choice

    return choose


def field_names(value: object) -> FieldNames | None:
    """Return the pinned field names, None for `auto`."""
    chosen = one_of("auto", *FieldNames)(value)
    return None if chosen == "auto" else FieldNames(chosen)


def interval_or_off(value: object) -> float | None:
    """Return an interval of at least 60 seconds, None for `off`."""
    if isinstance(value, str) and value.lower() == "off":
        return None
    try:
        return durations.parse(value, 60.0)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def rejected_logins(value: object) -> int:
    """Return the number of requests that may carry a rejected password."""
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 100:
        raise ValueError("must be a whole number from 1 to 100: requests that may carry a rejected password")
    return int(text)


def path(value: object) -> Path:
    """Return the path in a setting. Raises `ValueError`."""
    text = _text(value)
    if "\0" in text:
        raise ValueError("has a NUL in it, which is not allowed in a path")
    return Path(text)


def readable_file(value: object) -> Path:
    """Return the path of a file that can be read."""
    file = path(value)
    try:
        read_regular(file, MAX_PEM_FILE)
    except OSError as error:
        raise ValueError(f"cannot be read: {local_limit(error) or error.strerror}") from None
    return file


def certificates(value: object) -> Path:
    """Return the path of a file that contains certificates in PEM form."""
    file = readable_file(value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise ValueError("names a file that contains no certificates in PEM form") from None
    return file


def pem_file(value: object) -> Path:
    """Return the path of a regular file that can be read. The caller reads it as PEM."""
    if "-----BEGIN" in _text(value):
        raise ValueError("must be the path of a file, not its content")
    return readable_file(value)


def proxy(value: object) -> ProxySettings | None:
    """Return the proxy, None for `none`."""
    text = _text(value)
    return None if text.lower() == "none" else parse_proxy(text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text, in quotes")  # noqa: TRY004 - pydantic collects ValueErrors
    if not value:
        raise ValueError("is empty; give it a value, or remove it")
    if not _is_unicode(value):
        raise ValueError("is not UTF-8")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # Python represents bytes of the environment that are not UTF-8 as lone surrogates
        return False
    return True
