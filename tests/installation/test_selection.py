"""The choice of environments in the TOML file: every other line and comment is kept."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.errors import InstallationError
from monitor.installation.selection import EnvironmentSelection
from tests.support.checkout import ROOT

SHIPPED = (ROOT / "systemd/tigr-monitor.toml").read_text()


def selection(directory: Path, text: str) -> EnvironmentSelection:
    """Return the choice in a file with this text."""
    path = directory / "settings.toml"
    path.write_text(text)
    return EnvironmentSelection(path)


def test_the_example_of_the_shipped_file_is_used(tmp_path: Path) -> None:
    """Its two lines are no comment then, and every other line is the same; the mode is kept."""
    chosen = selection(tmp_path, SHIPPED)
    chosen.path.chmod(0o640)
    assert chosen.enabled() == ["prod", "uat"]
    assert chosen.enable_only(["prod"])
    assert chosen.enabled() == ["prod"]
    wanted = SHIPPED.replace("# [environments.uat]\n# enabled = false", "[environments.uat]\nenabled = false")
    assert wanted != SHIPPED
    assert chosen.path.read_text() == wanted
    assert stat.S_IMODE(chosen.path.stat().st_mode) == 0o640
    assert not chosen.enable_only(["prod"])
    assert chosen.enable_only(["uat", "prod"])
    assert chosen.path.read_text() == wanted.replace("\nenabled = false", "\nenabled = true")


@pytest.mark.parametrize(
    "before, after",
    [
        ("", "[environments.uat]\nenabled = false\n"),
        ("listen = ':1' # x", "listen = ':1' # x\n\n[environments.uat]\nenabled = false\n"),
        ("[environments.uat]", "[environments.uat]\nenabled = false"),
        ("[environments.uat] # a\nx = 'y'\n", "[environments.uat] # a\nenabled = false\nx = 'y'\n"),
        ("[environments.uat]\n\n  enabled = true   # b\n", "[environments.uat]\n\n  enabled = false   # b\n"),
        ("[environments.'uat']\nenabled = 'yes'\n", "[environments.'uat']\nenabled = false\n"),
        ("[environments.uat]\n[x]\nenabled = true\n", "[environments.uat]\nenabled = false\n[x]\nenabled = true\n"),
    ],
)
def test_a_switch_changes_one_line(before: str, after: str, tmp_path: Path) -> None:
    """The switch is written next to the other settings of the environment."""
    chosen = selection(tmp_path, before)
    assert chosen.enable_only(["prod"])
    assert chosen.path.read_text() == after


@pytest.mark.parametrize(
    "text",
    [
        "environments.uat.enabled = true\n",
        "[environments]\nuat = {enabled = true}\n",
        'a = """\n[environments.uat]\nenabled = true\n"""\n',
    ],
)
def test_an_unusual_form_is_left_to_the_operator(text: str, tmp_path: Path) -> None:
    """The file stays as it is, and the message has the lines to write."""
    chosen = selection(tmp_path, text)
    with pytest.raises(InstallationError, match=r"by hand: \[environments.uat\] enabled = false"):
        chosen.enable_only(["prod"])
    assert chosen.path.read_text() == text


LINES = """\
# [environments.uat]
# enabled = false
# enabled = true
[environments.uat]
[environments.prod]
[environments.blue]
[x]
enabled = true
  enabled = false # no
severity = 'warning'

x = [
]
""".splitlines()
lines = st.lists(st.sampled_from(LINES))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines, st.sets(st.sampled_from(["prod", "uat", "blue"]), min_size=1))
def test_a_choice_is_made_exactly_or_not_at_all(tmp_path: Path, parts: list[str], names: set[str]) -> None:
    """After a change, exactly these environments are enabled, and no line is lost except switches."""
    text = "\n".join(parts) + "\n"
    try:
        chosen = selection(tmp_path, text)
        chosen.enable_only(names)
    except InstallationError:
        assert (tmp_path / "settings.toml").read_text() == text
        return
    assert set(EnvironmentSelection(chosen.path).enabled()) == names & set(chosen.names())
    kept = [line for line in parts if "enabled" not in line and line != "# [environments.uat]"]
    after = chosen.path.read_text().splitlines()
    assert all(after.count(line) >= kept.count(line) for line in kept)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Its target is changed."""
    (tmp_path / "target").write_text("# mine\n")
    (tmp_path / "link").symlink_to("target")
    EnvironmentSelection(tmp_path / "link").enable_only(["prod"])
    assert (tmp_path / "link").is_symlink()
    assert "enabled = false" in (tmp_path / "target").read_text()


@pytest.mark.parametrize("content", [b"a = ", b"\xff", b"environments = 1\na = 'canary' x"])
def test_a_damaged_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    """The message names the file and does not quote it."""
    (tmp_path / "settings.toml").write_bytes(content)
    with pytest.raises(InstallationError, match=r"settings.toml is not") as refused:
        EnvironmentSelection(tmp_path / "settings.toml")
    assert refused.value.exit_status == 2
    assert "canary" not in str(refused.value)
