"""The TOML files of the Debian package: the example of all settings, and the configuration that is installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from monitor.config.schema import SECRETS, EnvironmentSchema, Schema
from monitor.config.settings import Settings
from tests.support.checkout import ROOT
from tests.support.settings import loaded, write

EXAMPLE = ROOT / "docs" / "tigr-monitor.example.toml"
INSTALLED = ROOT / "debian" / "tigr-monitor.toml"
_COMMENTED_OUT = re.compile(r"^# (\w+ = .+|\[.+\])$", re.MULTILINE)
_HAS_DEFAULT = {name for name, field in Schema.model_fields.items() if field.default is not None}


def commented_out(file: Path) -> str:
    """Return the settings that are commented out, without the marks of the comments."""
    return "\n".join(_COMMENTED_OUT.findall(file.read_text(encoding="utf-8")))


def settings(file: str) -> Settings:
    """Return the settings of a TOML file, with complete credentials."""
    return loaded({"TIGR_CONFIG_FILE": file}).settings


def test_the_example_has_every_setting() -> None:
    """The example has every setting except the secrets, which do not belong into the file, and no other."""
    example: dict[str, Any] = tomllib.loads(commented_out(EXAMPLE))
    assert example.keys() == Schema.model_fields.keys() | {"maintenance"}
    assert example["environments"]["uat"].keys() == EnvironmentSchema.model_fields.keys() - set(SECRETS)


def test_the_values_of_the_example_are_the_defaults(tmp_path: Path) -> None:
    """Every setting that has a default has it in the example."""
    lines = commented_out(EXAMPLE).partition("[[maintenance]]")[0].splitlines()
    top, nested = lines[: lines.index("[environments.uat]")], lines[lines.index("[environments.uat]") :]
    kept = [line for line in top if line.split(" ")[0] in _HAS_DEFAULT]
    kept += [line for line in nested if not line.startswith(("client_cert ", "client_key "))]
    assert len(kept) >= 20
    assert settings(write(tmp_path / "example.toml", "\n".join(kept))) == loaded({}).settings


@pytest.mark.parametrize("file", [EXAMPLE, INSTALLED], ids=lambda path: path.parent.name)
def test_the_files_change_nothing_as_they_are(file: Path) -> None:
    """Every setting of the files is commented out."""
    assert settings(str(file)) == loaded({}).settings


def test_the_installed_file_shows_how_to_leave_out_an_environment(tmp_path: Path) -> None:
    """Without the marks of the comments, its last lines disable UAT."""
    monitored = settings(write(tmp_path / "changed.toml", commented_out(INSTALLED))).environments
    assert [environment.name for environment in monitored] == ["prod"]
