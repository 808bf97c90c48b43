"""The README's tables name what there is, all of it, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.metrics import Metrics
from monitor.result import Reason, Token
from monitor.schema import EnvironmentSchema, Schema
from tests.test_metrics import SETTINGS, Live

README = Path(__file__).parent.parent.joinpath("README.md").read_text()
FIRST_CELLS = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)


def test_every_metric_is_in_the_table() -> None:
    """With its labels."""
    live = Live()
    live.token = Token(value="x", lifetime=60.0, expires=0.0, expires_at=1060.0)
    metrics = Metrics()
    metrics.watch(SETTINGS, live)
    families = {family.name: family.type for family in metrics._registry.collect()}
    exported = {
        f"{name}_total" if kind == "counter" else name for name, kind in families.items() if name[:5] == "tigr_"
    }
    assert {name for name in FIRST_CELLS if name.startswith("tigr_")} == exported


def test_every_setting_is_in_the_table() -> None:
    """Under its full name."""
    names = {f"TIGR_{name.upper()}" for name in Schema.model_fields if name != "environments"}
    own = [name for name in EnvironmentSchema.model_fields if name not in Schema.model_fields]
    names |= {f"TIGR_ENVIRONMENTS__<NAME>__{name.upper()}" for name in own} | {"TIGR_CONFIG_FILE", "TIGR_SECRETS_DIR"}
    assert {name for name in FIRST_CELLS if name.startswith("TIGR_")} == names


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_in_the_table(reason: Reason) -> None:
    """With what it means."""
    assert reason.value in FIRST_CELLS


def test_every_make_target_that_it_names_exists() -> None:
    """Or a newcomer's first command fails."""
    makefile = Path(__file__).parent.parent.joinpath("Makefile").read_text()
    named = re.findall(r"(?:^    |`)make ([a-z-]+)", README, re.MULTILINE)
    assert {"demo", "test", "lint", "test-system", "soak", "help"} <= set(named)
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)
