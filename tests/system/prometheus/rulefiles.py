"""The files below `prometheus/`, as Prometheus and promtool read them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import ROOT

FOLDER = ROOT / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
WATCHDOG = FOLDER / "watchdog.yml"
CASES = sorted((FOLDER / "tests").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    """Return the contents of a file, which the caller may change."""
    return copy.deepcopy(_parsed(path.read_text(encoding="utf-8")))


@functools.cache  # to parse all files takes half a second, which every test of a rule would spend
def _parsed(text: str) -> dict[str, Any]:
    contents: dict[str, Any] = yaml.safe_load(text)
    return contents


def group_list() -> list[dict[str, Any]]:
    """Return the rule groups of all files."""
    return [group for path in RULES for group in load(path)["groups"]]


def rules() -> Iterator[dict[str, Any]]:
    """Yield every rule of every file."""
    for group in group_list():
        yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    """Return the names of the recorded series."""
    return {rule["record"] for rule in rules() if "record" in rule}


def groups() -> list[str]:
    """Return the names of the rule groups."""
    return [group["name"] for group in group_list()]


def cases() -> Iterator[dict[str, Any]]:
    """Yield every case of every promtool test file."""
    for path in CASES:
        yield from load(path)["tests"]
