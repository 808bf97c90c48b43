"""Content negotiation of the metrics (RFC 9110 section 12.5): every request gets metrics, with any `Accept`."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MAX_ITEMS = 64  # of one header field; Prometheus sends five
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_VERSION_1 = re.compile(r"1(\.[0-9]{1,3}){0,2}")
_ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")


def metrics_format(accept: str) -> str:
    """Return the format for a value of the Accept field: one of a few values of that field, without a quality.

    '' is the text format 0.0.4, which is the default: a field that accepts none of the formats gets it too.
    """
    chosen, highest = "", 0.0
    for media_type, parameters in _items(accept):
        quality = _quality(parameters)
        if quality > highest and (known := _known(media_type, parameters)) is not None:
            chosen, highest = known, quality
    return chosen


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a value of the Accept-Encoding field prefers gzip to an unchanged body, or likes both equally."""
    qualities = {coding: _quality(parameters) for coding, parameters in _items(accept_encoding)}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _known(media_type: str, parameters: dict[str, str]) -> str | None:
    """Return the format of one media range; None if there is none."""
    version = parameters.get("version", "")
    escaping = parameters.get("escaping", "")
    suffix = f";escaping={escaping}" if escaping in _ESCAPINGS else ""
    if media_type == "application/openmetrics-text":
        if not version:
            return media_type
        return f"{media_type};version=1.0.0{suffix}" if _VERSION_1.fullmatch(version) else None
    if media_type == "text/plain" and _VERSION_1.fullmatch(version):
        return f"{media_type};version=1.0.0{suffix}"
    return "" if media_type in ("text/plain", "text/*", "*/*") else None


def _items(field: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the items of a list with their parameters, in lower case.

    Quotes are dropped. A quoted separator, which no format needs, splits an item into unknown ones.
    """
    for item in field.lower().replace('"', "").split(",", _MAX_ITEMS)[:_MAX_ITEMS]:
        name, *parameters = (part.strip() for part in item.split(";", _MAX_ITEMS))
        pairs = (parameter.partition("=") for parameter in parameters)
        yield name, {key.strip(): value.strip() for key, _, value in pairs}


def _quality(parameters: dict[str, str]) -> float:
    """Return the quality; 1 if there is none or an invalid one."""
    text = parameters.get("q", "")
    return float(text) if _QUALITY.fullmatch(text) else 1.0
