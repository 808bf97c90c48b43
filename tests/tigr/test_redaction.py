"""The redactor drops texts with secrets, masks tokens and names, and returns the rest of a text on one line."""

from __future__ import annotations

import base64
import html
import json
import random
import string
import time
import tracemalloc
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.tigr.documented import SENTENCES
from monitor.tigr.redaction import DROPPED, MASK, MAX_CUT_WORD, MAX_SHOWN, Redactor
from monitor.tigr.runs import MIN_RUN, Runs
from monitor.tigr.tokens import MIN_TOKEN_RUN, TokenIndex
from tests.support.canaries import CANARIES

TOKEN = "Qw8eR2tY-opaque-canary-token~7uI0pA5sD9fG"
DECODED: dict[str, Callable[[str], str]] = {
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "URL-encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "in hex": lambda text: text.encode().hex(),
    "as HTML": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "in lines of 7": lambda text: "\n".join(text[at : at + 7] for at in range(0, len(text), 7)),
}


@pytest.fixture
def redactor() -> Redactor:
    """Provide a redactor that has the canaries and a token."""
    redactor = Redactor(
        secrets=(CANARIES.client_secret, CANARIES.password), names=(CANARIES.client_id, CANARIES.username)
    )
    redactor.add_token(TOKEN)
    return redactor


def random_tokens(count: int, length: int = 16 * 1024) -> list[str]:
    """Return JWTs of a length; the same ones in every run."""
    rng = random.Random(1)
    alphabet = string.ascii_letters + string.digits + "-_"
    return ["eyJhbGciOiJSUzI1NiJ9." + "".join(rng.choices(alphabet, k=length - 21)) for _ in range(count)]


# Passwords and client secrets.


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_documented_sentence_is_kept(sentence: str) -> None:
    """A password that consists of documented words leaves the sentence as it is."""
    redactor = Redactor(secrets=["MyPassword1", "invalid_client-authorization", sentence], names=["client", "password"])
    assert redactor.clean(sentence) == sentence


def test_the_undocumented_part_of_a_secret_is_recognized() -> None:
    """Documented words inside a secret do not protect the rest of it."""
    redactor = Redactor(secrets=["MyPassword1"])
    assert redactor.clean("no user has the password you sent") == "no user has the password you sent"
    assert redactor.clean("no user has MyPassword1") == DROPPED
    assert redactor.clean("no user has mypassword") == DROPPED


@pytest.mark.parametrize(
    "text",
    [
        "please correct your entry",
        "a horse, of course",
        "the registry is down",
        "Registry: batter",
        "correct\tpassword",
    ],
)
def test_an_ordinary_word_of_a_secret_drops_no_text(text: str) -> None:
    """A word of seven letters and a blank are not eight characters, and the name of the registry is documented."""
    redactor = Redactor(secrets=["correct horse battery staple", "Registry-2027"])
    assert redactor.clean(text) == " ".join(text.split())
    assert redactor.clean("correct h") == redactor.clean("registry2") == DROPPED


@pytest.mark.parametrize("size", range(len(CANARIES.password) + 1))
def test_seven_characters_of_a_secret_are_shown(redactor: Redactor, size: int) -> None:
    """A run of eight characters drops the text, a shorter one does not."""
    assert (redactor.clean(f"got '{CANARIES.password[:size]}'") == DROPPED) == (size >= MIN_RUN)


def test_a_secret_in_two_fields_is_recognized(redactor: Redactor) -> None:
    """Punctuation between the parts of a message hides no secret."""
    assert redactor.clean("Zt9pL4w: no user") != DROPPED
    assert Redactor(secrets=["Zt9pL4wRucanary"]).clean("Zt9pL4w: Rucan") == DROPPED


def test_a_text_is_dropped_because_of_its_markup(redactor: Redactor) -> None:
    """A secret that markup hides in the text is recognized in the source."""
    secret = "Ab<script>9</script>cd<i>Ef"
    assert Redactor(secrets=[secret]).clean("Ab cd Ef", markup=f"<p>{secret}</p>") == DROPPED
    assert redactor.clean("Bad gateway", markup="<p>Bad gateway</p>") == "Bad gateway"
    assert redactor.clean(f"no token {TOKEN}", markup=f"<p>no token {TOKEN}</p>") == f"no token {MASK}"


def test_a_dropped_text_fits_the_limit(redactor: Redactor) -> None:
    """The text in place of a dropped one is no longer than the limit."""
    for shown in (1, 5, 10, 40, 41, 64):
        assert len(redactor.clean(CANARIES.password, shown=shown)) <= shown


WORD_FORMS: list[Callable[[str], str]] = [
    str,
    str.upper,
    html.escape,
    quote,
    json.dumps,
    lambda text: html.escape(text).replace("&#x27;", "&#039;").replace("&amp;", "&#38;"),
    lambda text: text.replace("'", "\\u0027").replace("&", "\\u0026"),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: quote(f"Password={text}&grant_type=password", safe=""),
    lambda text: json.dumps(f"refused:\n{text}"),
]


@pytest.mark.parametrize("form", WORD_FORMS)
@pytest.mark.parametrize("secret", ["ab&3", "zürich", "a'b c", "a b c d ", "Zo\u0308e\u0301 na"])
def test_a_short_secret_is_recognized_as_a_whole_word(secret: str, form: Callable[[str], str]) -> None:
    """A secret of fewer than eight characters drops a text that has it as a word, raw or in URL, HTML or JSON form."""
    redactor = Redactor(secrets=[secret])
    assert redactor.clean(f"unknown user {form(secret)}, sorry") == DROPPED
    assert redactor.clean(f"unknown user x{form(f'x{secret}x').strip(chr(34))}x, sorry") != DROPPED


def test_a_short_secret_matches_no_other_text() -> None:
    """The base64 of a short secret is not searched for, because any text contains it by chance."""
    text = "The quick brown fox jumps over the lazy dog and comes back by way of the village pond"
    for secret in ("aha1", "a1b2", "zq9"):
        assert Redactor(secrets=[secret]).clean(text) == text


@pytest.mark.parametrize("secret", ["", " ", "         "])
def test_an_empty_secret_matches_nothing(secret: str) -> None:
    """A secret that is empty or blank drops no text."""
    assert Redactor(secrets=[secret], names=[secret]).clean("all is well") == "all is well"


# Client id and user name.


@pytest.mark.parametrize(
    "name,text,cleaned",
    [
        ("client", "invalid_client: no client", "invalid_client: no client"),
        ("password", "Invalid Login ID or Password", "Invalid Login ID or Password"),
        ("jdoe", "unknown user JDoe!", f"unknown user {MASK}!"),
        ("jdoe", "unknown users jdoes, xjdoe, jdoe_2", "unknown users jdoes, xjdoe, jdoe_2"),
        ("joe", "unknown user joe", "unknown user joe"),
        ("jdoe", "%22jdoe%22 \\njdoe \\u0022jdoe", f"%22{MASK}%22 \\n{MASK} \\u0022{MASK}"),
        ("a&b c", "unknown users a&amp;b c, a%26b%20c, a%26b+c", f"unknown users {MASK}, {MASK}, {MASK}"),
    ],
)
def test_a_name_is_masked_as_a_whole_word(name: str, text: str, cleaned: str) -> None:
    """A client id or user name of four characters or more is masked, unless it is a documented word."""
    assert Redactor(secrets=[], names=[name]).clean(text) == cleaned


# Tokens.


def test_sixteen_characters_of_a_token_are_masked(redactor: Redactor) -> None:
    """A run of sixteen characters is masked wherever it is in the token, a shorter one is not."""
    for start in range(len(TOKEN) - MIN_TOKEN_RUN + 1):
        part = TOKEN[start : start + MIN_TOKEN_RUN]
        for text in (part, part.upper(), f"<{part}>"):
            assert (
                redactor.clean(f"no {text} here") == f"no {text.replace(part, MASK).replace(part.upper(), MASK)} here"
            )
        assert redactor.clean(f"got '{part[1:]}'") == f"got '{part[1:]}'"


@pytest.mark.parametrize("encoding", DECODED)
@pytest.mark.parametrize("token", [TOKEN, *random_tokens(1)])
def test_a_text_with_an_encoded_token_is_dropped(token: str, encoding: str) -> None:
    """A run of a token in a decoded view drops the text."""
    redactor = Redactor(secrets=[])
    redactor.add_token(token)
    assert redactor.clean(f"no such token: {DECODED[encoding](token[-24:])}") == DROPPED


def test_every_part_of_long_tokens_is_masked() -> None:
    """Parts that occur in several tokens, such as the header of a JWT, are masked too."""
    tokens = [*random_tokens(3, 400), "ab" * 150]
    redactor = Redactor(secrets=[])
    for token in tokens:
        redactor.add_token(token)
    for token in tokens:
        for start in range(0, len(token) - MIN_TOKEN_RUN, 3):
            assert redactor.clean(f"<{token[start : start + 20]}>") == f"<{MASK}>"


def test_the_last_four_tokens_are_masked() -> None:
    """The last four tokens are masked, a token that is added again displaces none, and a fifth displaces the first."""
    redactor = Redactor(secrets=[])
    tokens = [f"token-number-{number}-{number}{number}" for number in range(5)]
    for token in (*tokens[:4], *[tokens[3]] * 10):
        redactor.add_token(token)
    assert redactor.clean(" ".join(tokens[:4])) == " ".join([MASK] * 4)
    redactor.add_token(tokens[0])
    redactor.add_token(tokens[4])
    assert redactor.clean(" ".join(tokens)) == f"{MASK} {tokens[1]} {' '.join([MASK] * 3)}"


def test_tokens_cost_little() -> None:
    """Any number of tokens of 16 kB take less than 2 MB, and learning four takes a few milliseconds (1.5)."""
    tokens = random_tokens(40)
    redactor = Redactor(secrets=[])
    started = time.thread_time()
    for token in tokens[:4]:
        redactor.add_token(token)
    assert time.thread_time() - started < 0.1
    tracemalloc.start()
    try:
        for token in tokens:
            redactor.add_token(token)
        assert tracemalloc.get_traced_memory()[0] < 2e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [b"xx vbrlx b 7", b"xx vbrlx b \xff", b"vbrlx b "])
def test_a_run_in_bytes_may_end_with_a_blank(data: bytes) -> None:
    """A blank is a character of a run, also if the next character is none of the secret."""
    assert Runs(["vbrlx b zl lehb"]).occur_in_bytes(data)
    assert not Runs(["vbrlx b zl lehb"]).occur_in_bytes(data.replace(b"b ", b"b_"))


def test_a_short_token_is_masked_as_a_whole_word() -> None:
    """A token of fewer than sixteen characters is masked as a word."""
    redactor = Redactor(secrets=[])
    redactor.add_token("tok/9")
    assert redactor.clean("no tok/9, but xtok/9") == f"no {MASK}, but xtok/9"


@given(st.text(st.sampled_from("ab"), max_size=60), st.text(st.sampled_from("ab "), max_size=80))
def test_a_run_is_masked_in_any_token(token: str, text: str) -> None:
    """For tokens that repeat themselves too, no run of sixteen is left and nothing else is masked."""
    masked = TokenIndex([token]).masked(text, "#") if len(token) >= MIN_TOKEN_RUN else text.replace(" ", "#")
    runs = {token[at : at + MIN_TOKEN_RUN] for at in range(len(token) - MIN_TOKEN_RUN + 1)}
    assert not any(run in masked for run in runs)
    if not any(run in text for run in runs) and len(token) >= MIN_TOKEN_RUN:
        assert masked == text


# Any text.


@given(st.text(min_size=MIN_RUN, max_size=30), st.text(st.characters(codec=None), max_size=300), st.integers(1, 400))
def test_any_text_becomes_one_line_within_the_limit(secret: str, text: str, shown: int) -> None:
    """The line is printable, can be encoded, and is no longer than the limit."""
    cleaned = Redactor(secrets=[secret]).clean(text, shown)
    assert cleaned.isprintable()
    assert len(cleaned) <= shown
    cleaned.encode()


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
    cleaned = Redactor(secrets=[]).clean(text)
    assert MASK in cleaned
    assert "abcd1234" not in cleaned
    assert "QWxhZGRpbg" not in cleaned
    assert "eyJ" not in cleaned


@pytest.mark.parametrize(
    "text",
    ["Bearer token is missing", "Bearer authentication required", "Basic auth is off", 'Bearer realm="api"',
     "a basic OAuth2 flow",     'Bearer error="invalid_token"', "the Bearer scheme"],
)  # fmt: skip
def test_plain_text_after_a_scheme_is_kept(text: str) -> None:
    """A word after the name of a scheme is no credential."""
    assert Redactor(secrets=[]).clean(text) == text


def test_a_text_of_the_permitted_length_is_not_cut(redactor: Redactor) -> None:
    """A text of exactly the limit is returned unchanged."""
    assert redactor.clean("x" * MAX_SHOWN) == "x" * MAX_SHOWN


def test_a_long_text_is_cut_after_a_word(redactor: Redactor) -> None:
    """The cut text fills the limit as far as whole words can, and ends with dots."""
    assert redactor.clean("word " * 1000) == "word " * 203 + "word…"
    assert redactor.clean("longer " * 1000) == "longer " * 145 + "longer…"


def test_a_long_word_is_cut_inside(redactor: Redactor) -> None:
    """A word is cut if more than 60 characters would be dropped with it, the blank included."""
    lead = "x" * (MAX_SHOWN - 1 - MAX_CUT_WORD)
    assert redactor.clean(f"{lead} {'y' * 1000}") == f"{lead}…"
    assert redactor.clean(f"{lead[1:]} {'y' * 1000}") == f"{lead[1:]} {'y' * MAX_CUT_WORD}…"


@pytest.mark.parametrize("shown", [1, 2, 40, 64, MAX_SHOWN])
def test_a_text_without_blanks_is_cut_at_the_limit(redactor: Redactor, shown: int) -> None:
    """A cut text has exactly as many characters as the limit."""
    assert redactor.clean("x" * 2000, shown=shown) == "x" * (shown - 1) + "…"


def test_the_end_of_a_long_description_is_shown(redactor: Redactor) -> None:
    """400 characters of boilerplate, as ory/fosite sends them, do not hide the cause."""
    assert redactor.clean("boilerplate " * 33 + "'username' is missing").endswith("'username' is missing")


@given(st.text(st.sampled_from("xyz \n"), max_size=200), st.integers(1, 100))
def test_a_cut_text_is_a_beginning(text: str, shown: int) -> None:
    """The cut text is a beginning of the whole one, and no longer than the limit."""
    whole, cut = Redactor(secrets=[]).clean(text, shown=MAX_SHOWN), Redactor(secrets=[]).clean(text, shown=shown)
    assert cut == whole or (len(cut) <= shown and cut.endswith("…") and whole.startswith(cut[:-1]))


def test_control_characters_do_not_reach_a_terminal(redactor: Redactor) -> None:
    """An escape character, a line break and a direction override become blanks."""
    assert redactor.clean("no\x1b[31m\nlevel=error\u202e") == "no [31m level=error"
