"""Names of secret files that are almost right: each is recognized, and the message names the right one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config.schema import SECRETS
from monitor.config.secret_names import intended
from monitor.config.sources import file_key, file_name
from tests.support.settings import loaded, name, problems, write

KEY = ("environments", "prod", "password")
RIGHT = "tigr_environments__prod__password"
KEYS = [("environments", environment, secret) for environment in ("prod", "uat") for secret in SECRETS]
IGNORED = [
    "environments__prod__password",
    "ENVIRONMENTS__PROD__PASSWORD",
    "tigr-environments-prod-password",
    "environments_prod_password.txt",
    "prod_password",
    "prod-password.txt",
    "prod_password.secret",
]
UNKNOWN = ["tigr_environments_prod_password", "TIGR_PROD_PASSWORD", f"{RIGHT}.txt", f"{RIGHT}~", "tigr_prod__password"]


@pytest.mark.parametrize("almost", [*IGNORED, *UNKNOWN])
def test_a_name_that_is_almost_right_is_recognized(almost: str) -> None:
    """Prefix, case, underscores and suffix do not matter."""
    assert intended(almost, KEYS) == KEY


@pytest.mark.parametrize("other", ["password", "prod", "tls.key", "..data", "lost+found", "prod_passwort", ""])
def test_another_name_is_not_recognized(other: str) -> None:
    """A file of another program is no mistake."""
    assert intended(other, KEYS) is None


@given(st.sampled_from(KEYS), st.sampled_from("_- "), st.sampled_from(["", ".txt", ".secret"]))
def test_every_secret_is_recognized(key: tuple[str, ...], separator: str, suffix: str) -> None:
    """Each secret of each environment, with other separators, in either case."""
    almost = f"{separator.join(key[1:])}{suffix}"
    assert intended(almost, KEYS) == key
    assert intended(almost.upper(), KEYS) == key


@pytest.mark.parametrize("almost", IGNORED)
def test_the_message_of_a_missing_value_names_the_file(almost: str, tmp_path: Path) -> None:
    """The operator learns the present and the right name of the file."""
    write(tmp_path / almost, "a password")
    (problem,) = problems({"TIGR_SECRETS_DIR": str(tmp_path), name("prod", "PASSWORD"): None})
    wanted = f"TIGR_ENVIRONMENTS__PROD__PASSWORD: is missing; to set it, rename the file {tmp_path / almost} to {RIGHT}"
    assert problem == wanted


@pytest.mark.parametrize("almost", UNKNOWN)
def test_the_message_of_an_unknown_file_names_the_right_one(almost: str, tmp_path: Path) -> None:
    """A name with the prefix is a mistake in any case."""
    write(tmp_path / almost, "a password")
    reported = problems({"TIGR_SECRETS_DIR": str(tmp_path), name("prod", "PASSWORD"): None})
    assert reported[0] == f"{tmp_path / almost}: there is no such setting; did you mean {RIGHT}?"


def test_a_file_of_another_program_is_no_hint(tmp_path: Path) -> None:
    """The message of a missing value is the usual one then."""
    write(tmp_path / "password", "a password")
    (problem,) = problems({"TIGR_SECRETS_DIR": str(tmp_path), name("prod", "PASSWORD"): None})
    assert "is missing; set it, or disable prod" in problem


@pytest.mark.parametrize("given_name", [RIGHT, f"tigr_{RIGHT}", RIGHT.upper(), f"tigr_{RIGHT.upper()}"])
def test_a_credential_of_systemd_may_have_the_prefix_twice(given_name: str, tmp_path: Path) -> None:
    """The id of LoadCredential= comes before the name of the file."""
    write(tmp_path / given_name, "from a file")
    read = loaded({"CREDENTIALS_DIRECTORY": str(tmp_path), name("prod", "PASSWORD"): None})
    assert read.settings.environments[0].credentials.password == "from a file"


@given(st.sampled_from(KEYS))
def test_a_key_and_its_file_name_are_inverse(key: tuple[str, ...]) -> None:
    """The file of a key sets that key."""
    assert file_key(file_name(key)) == key
    assert file_key(f"tigr_{file_name(key)}") == key
    assert file_key(file_name(key).removeprefix("tigr_")) is None
