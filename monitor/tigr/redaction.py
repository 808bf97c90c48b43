"""Redaction of texts from servers: every such text passes it before it becomes part of a Result.

A server may echo the request, encoded and truncated in any way. A text that holds a part of a password or client secret
in any decoded view is dropped as a whole, because a mask would show the length and the neighbourhood of the secret.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator

from monitor.tigr.error_body import MAX_MARKUP
from monitor.tigr.folding import byte_forms, folded, forms, squeezed
from monitor.tigr.runs import MIN_RUN, Runs
from monitor.tigr.terms import WholeTerms
from monitor.tigr.tokens import TokenIndex
from monitor.tigr.views import MAX_LAYERS, BudgetExceededError, unescape, views

MASK = "[redacted]"
DROPPED = "[redacted: the text may contain a secret]"
MAX_SHOWN = 1024  # characters of a server's text
MAX_CUT_WORD = 60  # characters; a longer word is cut inside when a text is shortened
_MARGIN = 256  # characters after a limit that are searched too, for a secret that the limit cuts
_MAX_READ = MAX_MARKUP + _MARGIN
_MAX_TOKENS = 4  # tokens that a server may still echo: the current one and those before it
_MIN_NAME = 4  # characters of a client id or user name; a shorter one is an ordinary word

_UNALIGNED = (0, 2, 3)  # characters of base64 that hold bits of the bytes before the secret, by their number
_BLANKS = re.compile(r"[ \t\r\n]{2,}")
# An unknown credential: a JWT, or a value after its scheme that is no plain word.
_CREDENTIAL = re.compile(
    r"\b(?i:bearer|basic)\s+(?=[\w.~+/-]*(?:[0-9]|=|[a-z][A-Z]{2,}[a-z]))[\w.~+/-]{8,}(?:=+(?![\w\"'])|(?![\w.~+/=-]))"
    r"|\beyJ[\w-]{6,}(?:\.[\w-]*)*"
)


class Redactor:
    """Removes one environment's secrets from texts. Safe to use from many threads at once."""

    def __init__(self, secrets: Iterable[str], names: Iterable[str] = ()) -> None:
        """Take password and client secret, and the names that are masked: client id and user name."""
        secrets = tuple(filter(None, secrets))
        self._blanks = any(map(_has_blanks, secrets))
        self._text_runs = Runs(form for secret in secrets for form in _text_forms(secret, blanks=self._blanks))
        self._byte_runs = Runs(form for secret in secrets for form in _encoded_forms(secret, blanks=self._blanks))
        self._short = WholeTerms(filter(is_short, secrets))
        self._names = WholeTerms(name for name in names if len(name) >= _MIN_NAME)
        self._tokens: deque[str] = deque(maxlen=_MAX_TOKENS)
        self._index = TokenIndex()
        self._lock = threading.Lock()

    def add_token(self, token: str) -> None:
        """Mask `token` from now on; only the latest four are kept."""
        with self._lock:
            if token in self._tokens:
                self._tokens.remove(token)
                self._tokens.append(token)
                return  # the index does not depend on the order
            self._tokens.append(token)
            self._index = TokenIndex(self._tokens, self._index)

    def clean(self, text: str, shown: int = MAX_SHOWN, markup: str = "") -> str:
        """Return `text` on one line of at most `shown` characters, without secrets and control characters.

        `markup` is the source of `text` before tags were removed from it; it is searched too.
        """
        text = _encodable(_single_blanks(text[: 4 * MAX_SHOWN].strip()))[: MAX_SHOWN + _MARGIN]
        text = self._index.short_masked(text, MASK)
        if self._holds_token(text):
            text = self._index.masked(text, MASK)
            if self._holds_token(text):
                return _dropped(shown)
        if self._may_leak(text) or (
            markup and self._may_leak(self._index.masked(_encodable(markup[:_MAX_READ]), MASK))
        ):
            return _dropped(shown)
        text = self._names.masked(text, MASK)
        text = _without_credentials(text)
        if not text.isprintable():
            text = "".join(char if char.isprintable() else " " for char in text)
        line = " ".join(text.split())
        return _cut(line, min(shown, MAX_SHOWN))

    def _holds_token(self, text: str) -> bool:
        """Return whether a text holds a part of a token, in lines of any length."""
        return self._index.occur_in(squeezed(folded(text)))

    def _may_leak(self, text: str) -> bool:
        """Return whether a view of `text` holds a secret, or there are too many views to search."""
        if self._short and (self._short.occur_in(text) or self._short.occur_in(unescape(text))):
            return True
        index, blanks = self._index, self._blanks
        try:
            for number, view in enumerate(views(text)):
                if isinstance(view, bytes):
                    if self._byte_runs.occur_in_bytes(view):
                        return True
                    continue
                if any(map(self._text_runs.occur_in, forms(view, blanks=blanks))):
                    return True
                if number and index.occur_in(view):  # the first is masked
                    return True
        except BudgetExceededError:
            return True
        return False


def _has_blanks(secret: str) -> bool:
    return len(secret.split()) > 1 and not is_short(secret)


def is_short(secret: str) -> bool:
    """Return whether a secret is too short to be recognized in decoded views; accents do not count."""
    return len(secret) < MIN_RUN or all(len(form) < MIN_RUN for form in forms(folded(secret), blanks=True))


def _dropped(shown: int) -> str:
    return DROPPED if len(DROPPED) <= shown else MASK[:shown]


def _single_blanks(text: str) -> str:
    """Return `text` with each sequence of blanks as one."""
    return _BLANKS.sub(" ", text) if "  " in text or any(char in text for char in "\t\r\n") else text


def _without_credentials(text: str) -> str:
    """Return `text` with unknown credentials masked."""
    lower = text.lower()
    if text.isascii() and "eyJ" not in text and "bearer" not in lower and "basic" not in lower:
        return text  # the pattern takes many times longer
    return _CREDENTIAL.sub(MASK, text)


def _encodable(text: str) -> str:
    """Return `text` without lone surrogates, which JSON can contain and which cannot be encoded for output."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _cut(line: str, shown: int) -> str:
    """Return at most `shown` characters of `line`, cut between words unless the last word is too long."""
    if len(line) <= shown:
        return line
    end = shown - 1
    blank = line.rfind(" ", 0, shown)
    return line[: blank if blank > 0 and end - blank <= MAX_CUT_WORD else end] + "…"


def _text_forms(secret: str, *, blanks: bool) -> Iterator[str]:
    """Yield the canonical forms of a secret as text.

    A secret may look like an escape itself, so its forms after each step of decoding are included.
    """
    variants = {folded(secret)}
    for _ in range(MAX_LAYERS):
        variants |= {folded(unescape(variant)) for each in variants for variant in (each, squeezed(each))}
    for variant in variants:
        yield from forms(variant, blanks=blanks)
    if not is_short(secret):
        for start in range(3):  # base64 in another case cannot be decoded, so it is compared itself
            encoded = base64.b64encode(bytes(start) + secret.encode()).decode().rstrip("=")
            yield from forms(encoded[_UNALIGNED[start] : -1], blanks=False)
    for charset in ("latin-1", "cp1252"):  # UTF-8 that was read in another character set
        misread = folded(secret.encode().decode(charset, "ignore"))
        yield squeezed(misread.casefold())


def _encoded_forms(secret: str, *, blanks: bool) -> Iterator[str]:
    """Yield the canonical forms of a secret as bytes in several character sets."""
    for text in {secret, secret.upper(), secret.lower()}:
        for charset in ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "cp1252"):
            try:
                data = text.encode(charset)
            except UnicodeEncodeError:
                continue
            yield from byte_forms(data, blanks=blanks)
