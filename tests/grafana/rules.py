"""What the rules of `prometheus/rules` add to the metrics of the monitor."""

from __future__ import annotations

import re
from pathlib import Path

DIRECTORY = Path(__file__).parents[2] / "prometheus" / "rules"
MISSING = "prometheus/rules holds no rules"
_NAME = re.compile(r"^\s*(?:-\s+)?(?:\{\s*)?(record|alert):\s*[\"']?([\w:]+)", re.MULTILINE)


def files() -> list[Path]:
    """The files with rules."""
    return sorted([*DIRECTORY.glob("*.yml"), *DIRECTORY.glob("*.yaml")])


def names(kind: str) -> set[str]:
    """What is recorded (`record`), or the alerts (`alert`)."""
    return {name for file in files() for found, name in _NAME.findall(file.read_text()) if found == kind}
