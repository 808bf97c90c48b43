"""The redactor masks every run of a secret in every encoding, and returns the rest of a text on one line."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.tigr.redaction import MASK, MAX_CUT_WORD, MAX_READ, MAX_SHOWN, MIN_SECRET_RUN, Redactor
from tests.support.canaries import CANARIES, leaks, values

BASIC = base64.b64encode(f"{CANARIES.client_id}:{CANARIES.client_secret}".encode()).decode()
TOKEN = "Qw8eR2tY-opaque-canary-token~7uI0pA5sD9fG"
SECRETS = (*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}", TOKEN)
ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "URL-encoded": lambda text: quote(text, safe=""),
    "form-encoded": quote_plus,
    "URL-encoded in lower case": lambda text: quote(text, safe="").lower(),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64 of a longer text": lambda text: base64.b64encode(f"x{text}yz".encode()).decode(),
    "in base64 of another longer text": lambda text: base64.b64encode(f"xx{text}y".encode()).decode(),
    "in base64 of a form": lambda text: base64.b64encode(urlencode({"Password": text, "grant": "x"}).encode()).decode(),
    "in base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "as HTML": html.escape,
    "as JSON": lambda text: json.dumps(text)[1:-1],
    "in upper case": str.upper,
    "in lower case": str.lower,
    "cut in two": lambda text: f"{text[: len(text) // 2]} ... {text[len(text) // 2 :]}",
    "without its end": lambda text: text[:-3],
    "over two lines": lambda text: f"{text[:10]}\r\n {text[10:]}",
}


@pytest.fixture
def redactor() -> Redactor:
    """Provide a redactor that has the canaries and a token."""
    redactor = Redactor(values(CANARIES), BASIC)
    redactor.add_token(TOKEN)
    return redactor


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_masked_in_every_encoding(redactor: Redactor, encoding: str, secret: str) -> None:
    """No run of the secret is left, raw or encoded, and the text around it is."""
    encoded = ENCODINGS[encoding](secret)
    cleaned = redactor.clean(f"cannot process {encoded} today", shown=MAX_READ)
    assert cleaned.startswith("cannot process ")
    assert cleaned.endswith(" today")
    assert MASK in cleaned
    assert not leaks(cleaned, SECRETS)
    assert not leaks(cleaned, map(str.upper, SECRETS))
    assert not leaks(cleaned, map(str.lower, SECRETS))


@given(st.sampled_from(SECRETS), st.integers(0, 40), st.integers(0, 60), st.text(max_size=20), st.text(max_size=20))
def test_no_run_of_a_secret_is_left(secret: str, start: int, size: int, before: str, after: str) -> None:
    """Any part of a secret, in any text, leaks no run of it."""
    redactor = Redactor(values(CANARIES), BASIC)
    redactor.add_token(TOKEN)
    cleaned = redactor.clean(before + secret[start : start + size] + after, shown=MAX_READ)
    assert not leaks(cleaned, SECRETS)


@given(
    st.text(min_size=MIN_SECRET_RUN, max_size=30), st.text(st.characters(codec=None), max_size=300), st.integers(1, 400)
)
def test_any_text_becomes_one_line_within_the_limit(secret: str, text: str, shown: int) -> None:
    """The line is printable, can be encoded, and is no longer than the limit."""
    cleaned = Redactor([secret], secret).clean(text, shown)
    assert cleaned.isprintable()
    assert len(cleaned) <= shown
    cleaned.encode()


def test_a_short_secret_is_masked_whole() -> None:
    """A secret of three characters is masked in any case."""
    assert Redactor(["api"], "").clean("unknown user API, sorry") == f"unknown user {MASK}, sorry"


def test_a_short_secret_masks_no_other_text() -> None:
    """The base64 of a short secret is not searched for, because any text contains it by chance."""
    text = "The quick brown fox jumps over the lazy dog and comes back by way of the village pond"
    for secret in ("aha1", "a1b2", "zq9"):
        assert Redactor([secret], "").clean(text) == text


@pytest.mark.parametrize("encoding", ["as JSON", "in base64 of a form", "URL-encoded", "as HTML"])
def test_a_secret_of_punctuation_is_masked(encoding: str) -> None:
    """A secret is masked although no run of it is the same in another encoding."""
    secret = "\"ä&'<ö\">'ü&\"ß'<"
    assert MASK in Redactor([secret], "").clean(ENCODINGS[encoding](secret))


def test_an_empty_secret_masks_nothing() -> None:
    """An empty secret masks no text."""
    assert Redactor([""], "").clean("all is well") == "all is well"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcd1234",
        "authorization: basic QWxhZGRpbg==",
        "got eyJhbGciOiJub25lIn0.eyJpYXQiOjF9.c2ln today",
        "got eyJhbGciOiJub25lIn0 today",
    ],
)
def test_an_unknown_credential_is_masked(text: str) -> None:
    """A text in the form of a credential is masked although the redactor does not have it."""
    cleaned = Redactor([], "").clean(text)
    assert MASK in cleaned
    assert "abcd1234" not in cleaned
    assert "QWxhZGRpbg" not in cleaned
    assert "eyJ" not in cleaned


def test_the_last_four_tokens_are_masked() -> None:
    """The last four tokens are masked, and a token that is added again displaces none."""
    redactor = Redactor([], "")
    tokens = [f"token-number-{number}-{number}{number}" for number in range(4)]
    for token in (*tokens, *[tokens[3]] * 10):
        redactor.add_token(token)
    assert redactor.clean(" ".join(tokens)) == " ".join([MASK] * 4)


def test_text_past_the_search_limit_is_dropped(redactor: Redactor) -> None:
    """A secret that crosses the search limit leaks no run."""
    for overlap in range(len(TOKEN)):
        text = "x" * (MAX_READ - overlap) + TOKEN
        assert not leaks(redactor.clean(text, shown=MAX_READ), [TOKEN])


def test_a_text_of_the_permitted_length_is_not_cut(redactor: Redactor) -> None:
    """A text of exactly the limit is returned unchanged."""
    assert redactor.clean("x" * MAX_SHOWN) == "x" * MAX_SHOWN


def test_a_long_text_is_cut_after_a_word(redactor: Redactor) -> None:
    """The cut text fills the limit as far as whole words can, and ends with dots."""
    assert redactor.clean("word " * 1000) == "word " * 119 + "word…"
    assert redactor.clean("longer " * 1000) == "longer " * 84 + "longer…"


def test_a_long_word_is_cut_inside(redactor: Redactor) -> None:
    """A word is cut if more than 60 characters would be dropped with it, the blank included."""
    lead = "x" * (MAX_SHOWN - 1 - MAX_CUT_WORD)
    assert redactor.clean(f"{lead} {'y' * 1000}") == f"{lead}…"
    assert redactor.clean(f"{lead[1:]} {'y' * 1000}") == f"{lead[1:]} {'y' * MAX_CUT_WORD}…"


@pytest.mark.parametrize("shown", [1, 2, 40, 64, MAX_SHOWN])
def test_a_text_without_blanks_is_cut_at_the_limit(redactor: Redactor, shown: int) -> None:
    """A cut text has exactly as many characters as the limit."""
    assert redactor.clean("x" * 1000, shown=shown) == "x" * (shown - 1) + "…"


def test_the_end_of_a_long_description_is_shown(redactor: Redactor) -> None:
    """400 characters of boilerplate, as ory/fosite sends them, do not hide the cause."""
    assert redactor.clean("boilerplate " * 33 + "'username' is missing").endswith("'username' is missing")


@given(st.text(st.sampled_from("xyz \n"), max_size=200), st.integers(1, 100))
def test_a_cut_text_is_a_beginning(text: str, shown: int) -> None:
    """The cut text is a beginning of the whole one, and no longer than the limit."""
    whole, cut = Redactor([], "").clean(text, shown=MAX_READ), Redactor([], "").clean(text, shown=shown)
    assert cut == whole or (len(cut) <= shown and cut.endswith("…") and whole.startswith(cut[:-1]))


def test_control_characters_do_not_reach_a_terminal(redactor: Redactor) -> None:
    """An escape character, a line break and a direction override become blanks."""
    assert redactor.clean("no\x1b[31m\nlevel=error\u202e") == "no [31m level=error"
