"""The one door for words from servers: what passes is safe to show, as data.

Servers may echo what they were sent, in an encoding of their choosing and cut off where it suits them. So not only a
whole secret is taken out but every piece of eight characters of it, raw, URL-encoded, in base64, as HTML and as JSON.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
MIN_SECRET_RUN = 8  # characters: shorter runs are in every text by chance
MAX_SHOWN = 600  # characters of a server's text that are kept; ory/fosite states the cause only after character 300
MAX_CUT_WORD = 60  # characters that are dropped so that a cut text ends with a whole word
MAX_READ = 4096  # characters of it that are looked at
_LEAST_OF_BASE64 = 4  # characters: fewer cannot be told from chance
_TOKENS_KEPT = 4  # the tokens a server may still echo: the one in hand and those before it

_CREDENTIAL = re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{4,}|\beyJ[\w-]{6,}(?:\.[\w-]*)*")
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # unlike lower(), keeps every length


class Redactor:
    """Takes one environment's secrets out of texts. Safe to use from many threads at once."""

    def __init__(self, credentials: Iterable[str], basic: str) -> None:
        """`credentials` are the secrets one by one, `basic` the two that travel joined in the Authorization header."""
        self._credentials = (*credentials, basic, _decoded(basic))
        self._tokens: deque[str] = deque(maxlen=_TOKENS_KEPT)
        self._lock = threading.Lock()

    def learn(self, token: str) -> None:
        """Take `token` out of texts from now on."""
        with self._lock:
            if token in self._tokens:
                self._tokens.remove(token)
            self._tokens.append(token)

    def clean(self, text: str, shown: int = MAX_SHOWN) -> str:
        """Return `text` on one line, without secrets, control characters, or what is past `shown` characters."""
        # JSON can hold halves of characters, which no output takes.
        text = text[:MAX_READ].encode("utf-8", "replace").decode()
        with self._lock:
            secrets = (*self._credentials, *self._tokens)
        masked = self._masked(text, secrets)
        masked = _CREDENTIAL.sub(MASK, masked)
        line = " ".join("".join(char if char.isprintable() else " " for char in masked).split())
        return _cut(line, shown)

    def _masked(self, text: str, secrets: Iterable[str]) -> str:
        folded = text.translate(_ASCII_LOWER)
        pieces = {piece for secret in secrets for form in _forms(secret) for piece in _pieces(form)}
        hidden = bytearray(len(text))  # 1 for each character that belongs to a piece of a secret
        for size in {len(piece) for piece in pieces}:
            for start in range(len(folded) - size + 1):
                if folded[start : start + size] in pieces:
                    hidden[start : start + size] = b"\x01" * size
        return re.sub("\x00+", MASK, "".join("\x00" if hide else char for char, hide in zip(text, hidden, strict=True)))


def _cut(line: str, shown: int) -> str:
    """Return `line` with at most `shown` characters, cut after a word unless that word is too long."""
    if len(line) <= shown:
        return line
    end = shown - 1
    blank = line.rfind(" ", 0, shown)
    return line[: blank if blank > 0 and end - blank <= MAX_CUT_WORD else end] + "…"


def _decoded(basic: str) -> str:
    """The two as they are joined, so that no piece across the colon is missed."""
    try:
        return base64.b64decode(basic, validate=True).decode()
    except ValueError:
        return ""


def _forms(secret: str) -> Iterator[str]:
    """The ways in which a server may write a secret that it was sent."""
    in_form = quote_plus(secret)
    yield secret
    yield in_form
    yield quote(secret, safe="")
    yield html.escape(secret)
    yield json.dumps(secret)[1:-1]
    yield from _in_base64(secret.encode())
    if in_form != secret:
        yield from _in_base64(in_form.encode())  # a form that is repeated as a whole


def _in_base64(raw: bytes) -> Iterator[str]:
    """Base64 of whatever holds `raw`, at each of the three alignments, less what its neighbours change."""
    for lead in range(3):
        encoded = base64.b64encode(b"\x00" * lead + raw).decode()
        inner = encoded[(0, 2, 3)[lead] : len(encoded) - (0 if (lead + len(raw)) % 3 == 0 else 4)]
        if len(inner) < _LEAST_OF_BASE64:
            continue
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))
    if len(raw) >= _LEAST_OF_BASE64:
        yield base64.b64encode(raw).decode().rstrip("=")


def _pieces(form: str) -> Iterator[str]:
    folded = form.translate(_ASCII_LOWER)
    if len(folded) <= MIN_SECRET_RUN:
        if folded:
            yield folded
        return
    for start in range(len(folded) - MIN_SECRET_RUN + 1):
        yield folded[start : start + MIN_SECRET_RUN]
