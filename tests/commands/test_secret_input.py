"""Values from the operator: no echo, one clear message for each wrong value, and no message with a value."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.commands.secret_input import problem, read_value, read_values
from monitor.config.schema import SECRETS
from monitor.config.sources import Key, file_name, variable
from monitor.errors import InstallationError
from tests.support.canaries import CANARIES, leaks, values
from tests.support.process import clean
from tests.support.terminal import INTERRUPT, run_on_terminal

PASSWORD = ("environments", "prod", "password")
CLIENT_ID = ("environments", "prod", "client_id")
KEYS = [("environments", environment, name) for environment in ("prod", "uat") for name in SECRETS]
ASK = """
import sys
from monitor.commands.secret_input import ask_secret, ask_yes
key = ("environments", "prod", sys.argv[1])
if ask_yes("Begin?", default=True):
    value = ask_secret(key, is_set=sys.argv[2] == "set")
    print("kept" if value is None else f"length {len(value)}")
"""
PROMPT = "prod password: "


def ask(name: str, replies: list[tuple[str, str]], state: str = "new") -> tuple[int, str]:
    """Ask for a secret on a terminal; return the status and the terminal."""
    command = [sys.executable, "-c", ASK, name, state]
    return run_on_terminal(command, [("Begin? [Y/n] ", ""), *replies], clean({}))


def test_a_typed_value_is_not_echoed() -> None:
    """The terminal shows the prompt and nothing of the value."""
    status, terminal = ask("password", [(PROMPT, CANARIES.password)])
    assert (status, terminal.splitlines()[-1]) == (0, f"length {len(CANARIES.password)}")
    assert not leaks(terminal, values(CANARIES))


def test_a_wrong_value_is_asked_again_with_one_message() -> None:
    """Each wrong value has its reason, and the last one is taken."""
    wrong = [
        ("", "is empty"),
        ("canary\x01value", "has a control character in it"),
        ("canary:client", "has a colon in it"),
    ]
    replies = [("prod client id: ", value) for value, _ in wrong] + [("prod client id: ", "client")]
    status, terminal = ask("client_id", replies)
    assert (status, terminal.splitlines()[-1]) == (0, "length 6")
    assert [line for line in terminal.splitlines() if line.startswith("  prod client id: ")] != []
    for _, reason in wrong:
        assert terminal.count(f"  prod client id: {reason}") == 1
    assert "canary" not in terminal


def test_a_value_that_is_too_long_for_a_terminal_is_refused() -> None:
    """The kernel drops all beyond 4095 bytes without a message."""
    status, terminal = ask("password", [(PROMPT, "x" * 5000), (PROMPT, "x" * 4000)])
    assert (status, terminal.splitlines()[-1]) == (0, "length 4000")
    assert "is longer than a terminal can read" in terminal


def test_enter_keeps_a_value_that_is_set() -> None:
    """The prompt has `set`, and no value."""
    assert ask("password", [("prod password (set; Enter keeps it): ", "")], "set")[1].splitlines()[-1] == "kept"


@pytest.mark.parametrize("reply", [INTERRUPT, "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_an_interrupt_ends_the_prompt(reply: str) -> None:
    """Nothing is returned, and the terminal has its echo again."""
    script = """trap : INT; "$@" || echo "ended"; stty -a | grep -o ' echo '"""
    command = ["bash", "-c", script, "bash", sys.executable, "-c", ASK, "password", "new"]
    terminal = run_on_terminal(command, [("Begin? [Y/n] ", ""), (PROMPT, reply)], clean({}))[1]
    assert terminal.endswith("ended\n echo \n"), terminal
    assert "length" not in terminal


def test_a_reply_is_yes_or_no() -> None:
    """Another reply is asked again."""
    replies = [("Begin? [Y/n] ", "perhaps"), ("Begin? [Y/n] ", "No")]
    assert run_on_terminal([sys.executable, "-c", ASK, "password", "new"], replies, clean({}))[0] == 0


def entered(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let standard input have a content."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


valid = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text[0] != "\ufeff" and ":" not in text
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS), valid), st.booleans(), st.sampled_from([file_name, variable]))
def test_every_valid_value_can_be_given_on_standard_input(
    monkeypatch: pytest.MonkeyPatch,
    given_values: dict[Key, str],
    as_json: bool,  # noqa: FBT001
    name_of: object,
) -> None:
    """In both forms, with the name of the variable or of the file: no character is changed."""
    assert callable(name_of)
    lines = [
        json.dumps({name_of(key): value}) if as_json else f"{name_of(key)}={value}"
        for key, value in given_values.items()
    ]
    entered(monkeypatch, "\n".join(lines).encode())
    assert read_values(["prod", "uat"]) == given_values


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(min_size=8),
    st.sampled_from(["{}", "x={}", "{{{}", '{{"a": "{}"}}', "tigr_environments__prod__password={}\x07"]),
)
def test_no_message_quotes_a_line(monkeypatch: pytest.MonkeyPatch, secret: str, form: str) -> None:
    """A line may be a secret alone."""
    secret = f"canary{secret}"
    entered(monkeypatch, form.format(secret).encode(errors="replace"))
    with pytest.raises(InstallationError) as refused:
        read_values(["prod"])
    assert refused.value.exit_status == 2
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (
            b"prod_password=x",
            "line 1: its NAME is not a secret of these environments; did you mean tigr_environments__prod__",
        ),
        (
            b"\n\ntigr_environments__uat__password=x",
            "line 3: its NAME is not a secret of these environments; it must be",
        ),
        (b"x", "line 1: it must be NAME=VALUE or"),
        (b'{"tigr_environments__prod__password": 1}', "line 1: it must be NAME=VALUE or"),
        (b"tigr_environments__prod__password=", "line 1: tigr_environments__prod__password: is empty"),
        (
            b"tigr_environments__prod__password=x\r\n",
            "line 1: tigr_environments__prod__password: has a line break in it",
        ),
        (b"tigr_environments__prod__password=\x00", "tigr_environments__prod__password: has a control character in it"),
        (b"tigr_environments__prod__client_id=a:b", "line 1: tigr_environments__prod__client_id: has a colon in it"),
        (
            b"tigr_environments__prod__password=x\n" * 2,
            "line 2: tigr_environments__prod__password is given a second time",
        ),
        (b"tigr_environments__prod__password=" + b"x" * 70_000, "is longer than 65536 bytes"),
        (b"\xff", "standard input is not UTF-8"),
        (b"x" * 1_100_000, "standard input has more than 1048576 bytes"),
    ],
)
def test_wrong_input_has_one_clear_message(content: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem has its line and its reason."""
    entered(monkeypatch, content)
    with pytest.raises(InstallationError) as refused:
        read_values(["prod"])
    assert str(refused.value).count(message) == 1
    assert len(str(refused.value).splitlines()) <= 2


def test_a_single_value_loses_one_line_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a secret file does."""
    entered(monkeypatch, b" a=b \n")
    assert read_value(PASSWORD) == " a=b "
    entered(monkeypatch, b"a\n\n")
    with pytest.raises(InstallationError, match="prod password: has a line break in it"):
        read_value(PASSWORD)


def test_closed_standard_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says so, and it is no internal error."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InstallationError, match="standard input is closed"):
        read_value(PASSWORD)


def test_a_lone_surrogate_is_refused() -> None:
    """Python represents bytes that are not UTF-8 in this way."""
    assert problem(PASSWORD, "x\udcff") == "is not UTF-8"
    assert problem(CLIENT_ID, "x") is None
