"""The stores of secrets: names and modes of the files, replacement and restoration."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config import values
from monitor.errors import InstallationError
from monitor.installation.stores import Store, Way

KEY = ("environments", "prod", "password")
NAME = "tigr_environments__prod__password"
GROUP = grp.getgrgid(os.getgid()).gr_name  # an unprivileged process can give a file to its own group


def store_in(directory: Path, way: Way = Way.ROOT_ONLY) -> Store:
    """Return an empty store."""
    store = Store(way, directory / "secrets", GROUP)
    store.prepare()
    return store


def mode(path: Path) -> int:
    """Return the permissions of a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    "way, of_directory, of_file", [(Way.ROOT_ONLY, 0o700, 0o600), (Way.GROUP_READABLE, 0o750, 0o640)]
)
def test_files_have_the_name_and_mode_of_their_way(way: Way, of_directory: int, of_file: int, tmp_path: Path) -> None:
    """The name is the variable in lower case, in every way."""
    store = store_in(tmp_path, way)
    store.write(KEY, "secret")
    assert mode(store.directory) == of_directory
    assert mode(store.directory / NAME) == of_file
    assert (store.directory / NAME).read_bytes() == b"secret"
    assert store.stored() == {KEY}


printed = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text[0] != "\ufeff")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(printed)
def test_every_valid_value_is_read_as_it_was_written(tmp_path: Path, value: str) -> None:
    """A store changes no value that the settings accept: blanks and quotes are part of it."""
    assert values.credential(value) == value
    store = store_in(tmp_path)
    store.write(KEY, value)
    assert store.read(KEY) == value
    assert len(list(store.directory.iterdir())) == 1


@pytest.mark.parametrize("old", ["environments__prod__password", NAME.upper(), "ENVIRONMENTS__PROD__PASSWORD"])
def test_a_file_with_an_older_name_is_replaced(old: str, tmp_path: Path) -> None:
    """It is read, and the next write leaves only the name of the scheme; a restoration brings it back."""
    store = store_in(tmp_path)
    (store.directory / old).write_text("old\n")
    assert store.stored() == {KEY}
    assert store.read(KEY) == "old"
    saved = store.saved(KEY)
    store.write(KEY, "new")
    assert [path.name for path in store.directory.iterdir()] == [NAME]
    store.restore(KEY, saved)
    assert [(path.name, path.read_text()) for path in store.directory.iterdir()] == [(old, "old\n")]


def test_a_restoration_removes_a_value_that_was_not_there(tmp_path: Path) -> None:
    """Then the secret is missing again."""
    store = store_in(tmp_path)
    saved = store.saved(KEY)
    store.write(KEY, "new")
    store.restore(KEY, saved)
    assert store.stored() == set()


@pytest.mark.parametrize(
    "name",
    ["environments__prod", "tigr_listen", f".{NAME}.x1", "password", "environments__prod__passwort", "lost+found"],
)
def test_other_files_are_no_secrets(name: str, tmp_path: Path) -> None:
    """They are neither read nor removed by a write."""
    store = store_in(tmp_path)
    (store.directory / name).write_text("other")
    assert store.stored() == set()
    store.write(KEY, "new")
    assert (store.directory / name).exists()


def test_without_the_prefix_a_group_readable_file_is_no_secret(tmp_path: Path) -> None:
    """The service reads that directory itself, and only files with the prefix."""
    store = store_in(tmp_path, Way.GROUP_READABLE)
    (store.directory / "environments__prod__password").write_text("old")
    assert store.stored() == set()


def test_the_rest_of_an_interrupted_write_is_removed(tmp_path: Path) -> None:
    """It contains a secret, and the service does not read it."""
    store = store_in(tmp_path)
    (store.directory / f".{NAME}.x1").write_text("secret")
    store.prepare()
    assert list(store.directory.iterdir()) == []


def test_a_directory_that_does_not_exist_has_no_secrets(tmp_path: Path) -> None:
    """So `setup` can look into each."""
    assert Store(Way.ROOT_ONLY, tmp_path / "none").stored() == set()


def test_problems_name_the_file_and_not_the_value(tmp_path: Path) -> None:
    """A value is in no message."""
    store = store_in(tmp_path)
    with pytest.raises(InstallationError, match=f"{NAME}: does not exist"):
        store.read(KEY)
    (store.directory / NAME).write_bytes(b"canary\xff")
    with pytest.raises(InstallationError, match=f"{NAME}: is not UTF-8") as refused:
        store.read(KEY)
    assert "canary" not in str(refused.value)
    (store.directory / NAME).unlink()
    (store.directory / NAME).mkdir()
    for action in (lambda: store.write(KEY, "canary"), lambda: store.read(KEY), lambda: store.saved(KEY)):
        with pytest.raises(InstallationError, match=NAME) as refused:
            action()
        assert "canary" not in str(refused.value)


def test_a_missing_group_is_reported(tmp_path: Path) -> None:
    """The message has the command that creates it."""
    store = Store(Way.GROUP_READABLE, tmp_path / "secrets", "no-such-group")
    with pytest.raises(InstallationError, match="groupadd --system no-such-group"):
        store.prepare()
