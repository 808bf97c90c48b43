"""The text of a unit: the way in which the service gets its secrets, for the shipped files and for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.installation.stores import Store, Way
from monitor.installation.switching import FILES, STORES
from monitor.installation.unit_text import parse
from tests.support.checkout import ROOT

pytestmark = pytest.mark.once

SERVICE = (ROOT / "systemd/tigr-monitor.service").read_text()
CHECK = (ROOT / "systemd/tigr-monitor-check.service").read_text()


@pytest.mark.parametrize("unit", [SERVICE, CHECK], ids=["service", "check"])
@pytest.mark.parametrize("way", Way)
def test_each_way_is_recognized_in_the_shipped_units(unit: str, way: Way) -> None:
    """A unit with the drop-in of a way, or without one, has the store that `setup` fills."""
    text = f"# /etc/systemd/system/unit\n{unit}\n# drop-in\n{FILES[way].content if way in FILES else ''}"
    assert parse(text).store == STORES[way]
    assert parse(text).config_file == Path("/etc/tigr-monitor/tigr-monitor.toml")


@pytest.mark.parametrize("way", FILES)
def test_the_source_code_has_the_same_drop_ins(way: Way) -> None:
    """The files for the installation by hand are those that `setup` writes."""
    assert FILES[way].content == (ROOT / "systemd" / FILES[way].name).read_text()


def test_a_drop_in_of_an_older_installation_keeps_its_directory() -> None:
    """Encrypted files were in the directory of the others."""
    drop_in = "[Service]\nLoadCredential=\nLoadCredentialEncrypted=tigr:/etc/tigr-monitor/credentials\n"
    assert parse(SERVICE + drop_in).store == Store(Way.ENCRYPTED, Path("/etc/tigr-monitor/credentials"))


def test_another_group_is_recognized() -> None:
    """The group of the files is the shipped one if the service has it, else the last."""
    text = "SupplementaryGroups=adm {}\nEnvironment=TIGR_SECRETS_DIR=/srv/secrets\n"
    assert parse(text.format("ops")).store == Store(Way.GROUP_READABLE, Path("/srv/secrets"), "ops")
    assert parse(text.format("tigr-secrets ops")).store == Store(Way.GROUP_READABLE, Path("/srv/secrets"))


@pytest.mark.parametrize(
    "text", ["", "LoadCredential=", "LoadCredential=other:/etc/x", "LoadCredential=tigr:socket", "SetCredential=tigr:x"]
)
def test_another_way_is_none(text: str) -> None:
    """A unit may get secrets in a way that the commands cannot write."""
    assert parse(f"[Service]\n{text}\n").store is None


def test_variables_may_be_quoted_and_continued() -> None:
    """The syntax of systemd: several pairs per line, quotes, a continued line, comments in it, reset by no value."""
    text = 'Environment=GONE=1\nEnvironment=\nEnvironment=A=1 "B=2 3" \\\n# comment\n  C=4\n; comment\nEnvironment=D="'
    assert parse(text).variables == {"A": "1", "B": "2 3", "C": "4"}
    assert parse("LoadCredential=tigr:/etc/x \\").store == Store(Way.ROOT_ONLY, Path("/etc/x"))
