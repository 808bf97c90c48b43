"""The files below `prometheus/`, as Prometheus and promtool read them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import ROOT

FOLDER = ROOT / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
CASES = sorted((FOLDER / "tests").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    """A file's contents."""
    contents: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return contents


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for path in RULES:
        for group in load(path)["groups"]:
            yield from group["rules"]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules, by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    """The names of the series that are recorded."""
    return {rule["record"] for rule in rules() if "record" in rule}


def groups() -> list[str]:
    """The names of the groups of rules."""
    return [group["name"] for path in RULES for group in load(path)["groups"]]


def cases() -> Iterator[dict[str, Any]]:
    """Every case of every file of tests for promtool."""
    for path in CASES:
        yield from load(path)["tests"]
