"""No text about the settings, valid or invalid, contains a secret or a part of one."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import locations
from monitor.config.settings import describe, load
from monitor.errors import ConfigError
from tests.support.settings import COMPLETE, FIELDS, NOWHERE, loaded, name, write

CANARY = "Kanarienvogel%2B42"


def shows(text: str) -> bool:
    """Return whether `text` contains eight consecutive characters of the canary."""
    return any(CANARY[at : at + 8] in text for at in range(len(CANARY) - 7))


BREAKINGS: tuple[Callable[[str], str], ...] = (
    lambda secret: f"{secret}\n",
    lambda secret: f"\0{secret}",
    lambda secret: f"{secret}\udcff",
    lambda secret: f"\ufeff{secret}",
    lambda secret: f"https://user:{secret}@example.test/",
    lambda secret: f"socks5://{secret}@example.test",
    lambda secret: f"https://{secret}/?",
)


@pytest.mark.parametrize("breaking", BREAKINGS)
@pytest.mark.parametrize("field", [*FIELDS, "TOKEN_URL", "API_URL"])
def test_an_invalid_value_is_not_quoted(field: str, breaking: Callable[[str], str]) -> None:
    """Neither the message nor the exception and its context contain an invalid value or another secret."""
    secrets = dict.fromkeys(COMPLETE, CANARY) | {name("prod", field): breaking(CANARY)}
    with pytest.raises(ConfigError) as refused:
        load({**secrets, "TIGR_LISTEN": "x"}, run_secrets=NOWHERE)
    assert "TIGR_LISTEN" in str(refused.value)
    assert not shows(
        "\n".join([str(refused.value), repr(refused.value), "".join(traceback.format_exception(refused.value))])
    )
    assert refused.value.__context__ is None


def test_a_toml_file_is_not_quoted(tmp_path: Path) -> None:
    """No problem of a TOML file quotes its content."""
    broken = [
        f'environments.prod.password = "{CANARY}',
        f"environments.prod.password = {CANARY}",
        f'environments.prod.password = ["{CANARY}"]',
        f'environments.prod.password = {{a = "{CANARY}"}}',
        f'environments.prod.pasword = "{CANARY}"',
        f'{{"{CANARY}',
        f'a = "\\{CANARY}"',
    ]
    for text in broken:
        with pytest.raises(ConfigError) as refused:
            loaded({"TIGR_CONFIG_FILE": write(tmp_path / "c.toml", text), name("prod", "PASSWORD"): None})
        assert not shows(str(refused.value)), text


def test_effective_settings_are_displayed_without_secrets() -> None:
    """The description and the repr contain no secret; the description marks a secret as set."""
    proxy = f"http://user:{CANARY}@proxy.test:3128"
    for variable in ("TIGR_PROXY", "HTTPS_PROXY"):
        read = load({**dict.fromkeys(COMPLETE, CANARY), variable: proxy}, run_secrets=NOWHERE)
        assert read.settings.environments[0].credentials.password == CANARY
        assert not shows("\n".join([*describe(read), repr(read)]))
        assert sum(line.split()[1] == "set" for line in describe(read)) == 8
        assert "user" not in repr(read.settings.environments[0].token_proxy)


def test_raw_values_are_in_no_repr() -> None:
    """The repr of the values that were read contains no secret."""
    read = locations.read(dict.fromkeys(COMPLETE, CANARY), NOWHERE)
    assert not shows(repr(read) + repr([source.values for source in read.sources]))


def test_the_library_logs_no_secret(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """No secret is logged at level DEBUG, at which pydantic-settings by itself would log every value."""
    monkeypatch.setenv("PYDANTIC_SETTINGS_DEBUG", "1")
    with caplog.at_level(logging.DEBUG):
        load(dict.fromkeys(COMPLETE, CANARY), run_secrets=NOWHERE)
    assert not shows(caplog.text)


@given(st.sampled_from(sorted(COMPLETE)), st.text(min_size=8))
def test_any_credential_is_accepted_or_refused_without_quoting_it(variable: str, secret: str) -> None:
    """Any credential is either effective unchanged, or refused with a message that does not contain it."""
    try:
        read = load({**COMPLETE, variable: secret}, run_secrets=NOWHERE)
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.startswith(f"{variable}: ")
        assert secret not in problem
    else:
        held = [getattr(env.credentials, field.lower()) for env in read.settings.environments for field in FIELDS]
        assert secret in held


@given(st.dictionaries(st.text(max_size=30).map(lambda rest: f"TIGR_{rest}"), st.text(max_size=30), max_size=4))
def test_any_variable_gives_settings_or_problems(environ: dict[str, str]) -> None:
    """Any variables with the prefix give settings, or problems of one line each."""
    try:
        load({**COMPLETE, **environ}, run_secrets=NOWHERE)
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - both outcomes are correct
        assert all(problem.isprintable() for problem in error.problems)  # noqa: PT017
