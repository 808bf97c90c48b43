"""Validators of single values in the web configuration, for pydantic: each raises `ValueError` without the value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import BeforeValidator, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails

_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 15)  # each step doubles the time: a check at 14 takes one or two seconds, which delays a scrape
_HEADERS: dict[str, tuple[str, ...]] = {  # by name the values that are allowed; none: any
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")
# The suites that Go offers up to TLS 1.2: OpenSSL's names by Go's names.
_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305", "CHACHA20-POLY1305"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    )
}
_SUITES_OF_TLS13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
REQUIRE: Final = "RequireAndVerifyClientCert"
IF_GIVEN: Final = "VerifyClientCertIfGiven"
_ANY: Final = ("RequireAnyClientCert", "RequireClientCert")  # the second is an old name of the first
# RequestClientCert has the effect of NoClientCert: it does not verify a certificate, and the server uses none.
_AUTH_TYPES = ("NoClientCert", "RequestClientCert", IF_GIVEN, REQUIRE)


def single_text(value: object) -> str:
    """Return a scalar."""
    if isinstance(value, str):
        return value
    raise ValueError("must be a single value")


def text_list(value: object) -> tuple[str, ...]:
    """Return a list of texts."""
    items = value or []
    if isinstance(items, list) and all(isinstance(item, str) and item for item in items):
        return tuple(items)
    raise ValueError("must be a list of texts")


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a validator for one of `choices`."""

    def validate(value: object) -> str:
        if (text := single_text(value)) in choices:
            return text
        raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}")

    return validate


def path(value: object, info: ValidationInfo) -> Path | None:
    """Return a path, which may be relative to the directory of the web configuration file; None for the default."""
    if value is None:
        return None
    text = single_text(value)
    if "\0" in text:
        raise ValueError("has a NUL in it, which no path can hold")
    directory: Path = info.context["directory"] if info.context else Path()
    return directory / text


def mapping(value: object) -> dict[str, Any] | None:
    """Return a section, or None if it is empty."""
    if not value:
        return None
    if isinstance(value, dict):
        return value
    raise ValueError("must be a mapping, with lines of `key: value` below it")


def entries(check: Callable[[str, object], bytes]) -> Callable[[object], dict[str, bytes]]:
    """Return a validator that checks every entry of a mapping, and reports the problems of all."""

    def validate(value: object) -> dict[str, bytes]:
        entries, problems = {}, []
        for name, entry in (mapping(value) or {}).items():
            try:
                entries[name] = check(name, entry)
            except ValueError as error:
                detail = InitErrorDetails(type="value_error", loc=(name,), input=None, ctx={"error": error})
                problems.append(detail)
        if problems:
            raise ValidationError.from_exception_data("entries", problems)
        return entries

    return validate


def bcrypt_hash(name: str, value: object) -> bytes:
    """Return the bcrypt hash of a user. The messages contain no part of it, because it may be a plain password."""
    match = _BCRYPT.fullmatch(value) if isinstance(value, str) else None
    if not name or ":" in name:
        raise ValueError("a user's name is not empty and has no colon")
    if match is None:
        raise ValueError("must be a bcrypt hash, which `htpasswd -nBC 10 NAME` prints behind the name")
    if int(match["cost"]) not in _COSTS:
        limits = f"{_COSTS.start} to {_COSTS.stop - 1}"
        raise ValueError(f"the hash's cost must be from {limits}, for each step doubles the time of a check; use 10")
    return match[0].encode()


def header_value(name: str, value: object) -> bytes:
    """Return the value of an HTTP header field; b"" removes the field."""
    choices = _HEADERS.get(name)
    if choices is None:
        raise ValueError(unknown_key(name, _HEADERS))
    text = single_text(value)
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError("must be one line of printable ASCII")
    if text and choices and text not in choices:
        raise ValueError(f"must be {' or '.join(choices)}")
    return text.encode()


def version(value: object) -> str:
    """Return TLS12 or TLS13."""
    text = single_text(value)
    if text in ("TLS12", "TLS13"):
        return text
    obsolete = f"{text} is not offered, for it can be broken: " if text in ("TLS10", "TLS11") else ""
    raise ValueError(f"{obsolete}must be TLS12 or TLS13")


def ciphers(value: object) -> tuple[str, ...]:
    """Return OpenSSL's names of the suites, which the file lists under Go's names."""
    suites = text_list(value)
    if unknown := [suite for suite in suites if suite not in _SUITES and suite not in _SUITES_OF_TLS13]:
        raise ValueError(f"not offered: {', '.join(unknown)}; offered: {', '.join(_SUITES)}")
    ciphers = tuple(_SUITES[suite] for suite in suites if suite in _SUITES)
    if suites and not ciphers:
        raise ValueError("TLS 1.3 always has its own, and TLS 1.2 has none here: use min_version: TLS13")
    return ciphers


def auth_type(value: object) -> str:
    """Return one of the types of client authentication that Go has, without the one that Python lacks."""
    if value in _ANY:  # Python's ssl module cannot accept a certificate without verification
        why = f"{value} is not offered, for anybody can make such a certificate"
        raise ValueError(f"{why}: use {REQUIRE}, with client_ca_file")
    return one_of(*_AUTH_TYPES)(value)


def pem(value: object) -> bytes:
    """Return the content of a file in PEM form. The messages contain no part of it, because it may be a key."""
    text = single_text(value)
    if "-----BEGIN " not in text:
        raise ValueError("must be the content of a file in PEM form; a path belongs in the key that ends with _file")
    return text.encode()


def not_offered(advice: str) -> BeforeValidator:
    """Return a validator that rejects every value, with advice on the alternative."""

    def validate(value: object) -> None:
        if value:
            raise ValueError(f"is not offered: {advice}")

    return BeforeValidator(validate)


def unknown_key(name: str, known: Iterable[str]) -> str:
    """Return the text for a key that does not exist, with the most similar one of `known`."""
    similar = difflib.get_close_matches(name, known, n=1)
    return f"there is no such key; did you mean {similar[0]}?" if similar else "there is no such key"


def flag(value: object) -> bool:
    """Return true or false."""
    return one_of("true", "false")(value) == "true"
