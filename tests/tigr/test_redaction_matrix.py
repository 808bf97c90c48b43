"""A secret is recognized in every encoding, and ordinary text is not mistaken for one."""

from __future__ import annotations

import base64
import html
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.tigr.redaction import DROPPED, MASK, MAX_SHOWN, Redactor
from tests.support import ordinary_text
from tests.support.encodings import (
    ENCODINGS,
    SECRETS,
    base64_of,
    escaped,
    full_width,
    in_json,
    in_url,
    percent,
    wrapped,
)

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # it would take most of the time, and the tests of the modules execute the same lines
]

TEMPLATES = ("{}", "cannot log in with {} today", "Username=x&Password={}&grant_type=password", '{{"password":"{}"}}')
MAX_CPU = 0.25  # seconds for a body of 64 KiB; the slowest takes 0.012
# Two of these make at most three layers. Each keeps every character of a secret.
ONE_LAYER: dict[str, Callable[[str], str]] = {
    name: ENCODINGS[name]
    for name in (
        "raw", "HTML named", "HTML all decimal", "HTML all hex", "URL component", "URL form", "URL every byte",
        "URL lower-case hex", "JSON ASCII", "JSON not ASCII", "JSON \\u upper", "JSON \\u lower", "\\x", "octal",
        "base64", "base64 for URLs", "base64 of a pair", "base64 of UTF-16", "hex", "hex upper", "hex with dashes",
        "hex of UTF-16",
        "letters spaced", "NUL between", "invisible between", "wrapped", "full-width", "NFD",
    )
}  # fmt: skip
# Encodings outside the list, of up to three layers.
OTHERS: dict[str, Callable[[str], str]] = {
    "entities without a semicolon": lambda text: "".join(f"&#{ord(char)} " for char in text),
    "entities with leading zeros": lambda text: "".join(f"&#{ord(char):012};" for char in text),
    "escapes of IIS": lambda text: escaped(text, "%u{:04x}"),
    "escapes of ECMAScript": lambda text: "".join(f"\\u{{{ord(char):x}}}" for char in text),
    "escapes of Python": lambda text: "".join(f"\\U{ord(char):08x}" for char in text),
    "hex with prefixes": lambda text: " ".join(f"0x{byte:02X}" for byte in text.encode()),
    "hex with commas": lambda text: ",".join(f"{byte:02x}" for byte in text.encode()),
    "base64 in lines of 7": lambda text: wrapped(base64_of(text.encode())),
    "escapes in lines of 7": lambda text: wrapped(percent(text)),
    "base64 of UTF-16, big endian": lambda text: base64_of(text.encode("utf-16-be")),
    "base64 of UTF-32": lambda text: base64_of(text.encode("utf-32-le")),
    "base64 three times": lambda text: base64_of(base64_of(base64_of(text.encode()).encode()).encode()),
    "base64 of JSON of HTML": lambda text: base64_of(in_json(html.escape(text)).encode()),
    "URL of JSON of base64": lambda text: in_url(in_json(base64_of(text.encode()))),
    "hex of base64": lambda text: base64_of(text.encode()).encode().hex(),
    "full-width escapes": lambda text: full_width(percent(text)),
    "upper-case escapes of an upper-case text": lambda text: percent(text.upper()),
    "HTML in upper case": lambda text: html.escape(text).replace("-", "&hyphen;").replace("ß", "&szlig;").upper(),
    "JSON in upper case": lambda text: in_json(text).upper(),
    "JSON \\u in upper case": lambda text: escaped(text, "\\u{:04x}").upper(),
    "\\x in upper case": lambda text: percent(text, form="\\x{:02x}").upper(),
    "Python's escapes in upper case": lambda text: "".join(f"\\U{ord(char):08X}" for char in text),
    "base64 in lower case": lambda text: base64_of(text.encode()).lower(),
    "base64 of a pair in upper case": lambda text: base64_of(f"user:{text}".encode()).upper(),
    "soft line breaks in escapes": lambda text: wrapped(escaped(text, "\\u{:04x}"), end="=\r\n"),
    "base64 of mixed case": lambda text: base64_of(text.swapcase().encode()),
    "combining marks": lambda text: "".join(f"{char}\u0336" for char in text),
    "terminal colours": "\x1b[1m".join,
    "comment inside": lambda text: f"{text[:6]}<!-- {'x' * 9} -->{text[6:]}",
    "spaced markup inside": lambda text: " ".join(f"{text[:6]}<i>{text[6:]}"),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_text_with_an_encoded_secret_is_dropped(secret: str, encoding: str) -> None:
    """Eight characters of a secret, in any encoding and context, drop the text as a whole."""
    redactor = Redactor(secrets=["another-secret-1", SECRETS[secret]])
    encoded = ENCODINGS[encoding](SECRETS[secret])
    for template in TEMPLATES:
        assert redactor.clean(template.format(encoded)) == DROPPED


@pytest.mark.parametrize("encoding", OTHERS)
@pytest.mark.parametrize("secret", ["letters and digits", "umlauts", "UUID", "Cyrillic"])
def test_a_text_with_an_unusual_encoding_is_dropped(secret: str, encoding: str) -> None:
    """Encodings that servers rarely use are recognized too."""
    redactor = Redactor(secrets=[SECRETS[secret]])
    for template in TEMPLATES[:2]:
        assert redactor.clean(template.format(OTHERS[encoding](SECRETS[secret]))) == DROPPED


@pytest.mark.parametrize("encoding", [*ONE_LAYER, "URL form"])
@pytest.mark.parametrize("secret", ["a b c d e f g", "my dog + 3 cats", "x + 1 = y - 2"])
def test_a_secret_with_blanks_is_recognized(secret: str, encoding: str) -> None:
    """Blanks and plus signs of a secret count, because a form has a plus sign for a blank."""
    assert Redactor(secrets=[secret]).clean(f"pw={ENCODINGS[encoding](secret)}&x=%41") == DROPPED


@pytest.mark.parametrize("encoding", ONE_LAYER)
@pytest.mark.parametrize("cut", ["รหัสผ่าน", "पासवर्डगुप्त", "tanbulıĞ"])  # noqa: RUF001 - Turkish
def test_eight_characters_of_any_script_are_recognized(cut: str, encoding: str) -> None:
    """Vowels above and below letters count as characters, and a dotless i is an i."""
    secret = f"xy{cut}z"
    assert Redactor(secrets=[secret]).clean(ONE_LAYER[encoding](cut)) == DROPPED
    assert Redactor(secrets=[secret]).clean(cut.upper()) == DROPPED


# Without the characters that begin an escape: a secret that contains them is in SECRETS.
CHARACTERS = st.sampled_from("abcdefxyzABCXYZ0123456789!$()*,-./:;?@[]^_{|}~äöüÄÖÜßéжЖдД")
RANDOM_SECRETS = st.text(CHARACTERS, min_size=8, max_size=30).filter(lambda text: len(set(text)) > 3)


@given(RANDOM_SECRETS, st.sampled_from(sorted(ONE_LAYER)), st.sampled_from(TEMPLATES))
def test_a_random_secret_is_recognized(secret: str, encoding: str, template: str) -> None:
    """The encodings are recognized for any secret."""
    assert Redactor(secrets=[secret]).clean(template.format(ONE_LAYER[encoding](secret))) == DROPPED


@given(RANDOM_SECRETS, st.sampled_from(sorted(ONE_LAYER)), st.sampled_from(sorted(ONE_LAYER)))
def test_two_layers_are_recognized(secret: str, inner: str, outer: str) -> None:
    """Any two encodings around each other are recognized."""
    encoded = ONE_LAYER[outer](ONE_LAYER[inner](secret))
    assert Redactor(secrets=[secret]).clean(f"cannot process {encoded}"[:MAX_SHOWN]) == DROPPED


@given(RANDOM_SECRETS, st.sampled_from(sorted(ONE_LAYER)), st.data())
def test_a_cut_of_eight_characters_is_recognized(secret: str, encoding: str, data: st.DataObject) -> None:
    """Eight characters at any position are enough."""
    start = data.draw(st.integers(0, len(secret) - 8))
    end = data.draw(st.integers(start + 8, len(secret)))
    assert Redactor(secrets=[secret]).clean(f"got {ONE_LAYER[encoding](secret[start:end])} !") == DROPPED


@given(st.sampled_from(sorted(SECRETS)), st.sampled_from(sorted(ONE_LAYER)), st.integers(0, 200))
def test_nothing_of_a_secret_is_left_at_the_limit(name: str, encoding: str, before: int) -> None:
    """A secret that the limit cuts leaves neither eight characters nor their encoded form."""
    encoded = ONE_LAYER[encoding](SECRETS[name])
    lead = ("word " * 300)[: MAX_SHOWN - before]
    cleaned = Redactor(secrets=[SECRETS[name]]).clean(lead + encoded)
    assert cleaned == DROPPED or before == 0
    assert encoded[:8] not in cleaned


def test_ordinary_text_is_not_dropped() -> None:
    """Of 6,000 texts fewer than 10 are dropped, although all secrets are searched for."""
    redactor = Redactor(secrets=SECRETS.values(), names=["client", "service.user"])
    for number in range(4):
        redactor.add_token(f"eyJhbGciOiJSUzI1NiJ9.{number}{base64.b64encode(bytes(range(256))).decode() * 40}")
    dropped = [text for text in ordinary_text.lines(6000) if redactor.clean(text) == DROPPED]
    assert len(dropped) < 10, dropped


def test_ordinary_text_is_unchanged() -> None:
    """Apart from credentials, ordinary text is returned as it is."""
    redactor = Redactor(secrets=SECRETS.values(), names=["client", "password"])
    for text in ordinary_text.lines(500):
        whole = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        cleaned = redactor.clean(text)
        assert MASK not in cleaned.replace(MASK, "", 1) or "eyJ" in text
        beginning = re.split(r"\beyJ", whole)[0][:MAX_SHOWN]
        assert cleaned.startswith(beginning[: MAX_SHOWN - 100])


@pytest.mark.parametrize(
    "unit",
    ["<", "&", "%", "\\", "&#", "&amp;", "%25", "%41", "\\u0041", "\\u00", "=41", "= ", "<a", "< a>", "ICAg",
     "aGVsbG8g",     "41", "+", "%2B+", "ä&ß%", "Ð¿", "a\0", "\u200b", "\uff41", "&#x0;", "JTI1", "\x1b[0m", "&a ;",
     "\\\\\x1b[0m", "ﷺ",
     "&lt;%26\\u0026", "%u0041", "\\141"],
)  # fmt: skip
def test_hostile_text_is_searched_in_bounded_time(unit: str) -> None:
    """No repeated part makes the time grow; a text with too many decoded views is dropped."""
    redactor = Redactor(secrets=SECRETS.values())
    text = (unit * (65536 // len(unit) + 1))[:65536]
    started = time.thread_time()
    redactor.clean(text, markup=text)
    assert time.thread_time() - started < MAX_CPU


def test_a_text_with_too_many_views_is_dropped() -> None:
    """A text whose decoded views exceed the budget is dropped, because it cannot be searched completely."""
    assert Redactor(secrets=["another-secret-1"]).clean("\ufdfa" * 1000) == DROPPED
