"""Redaction of texts from servers: every such text passes it before it becomes part of a Result.

A server may echo the request, encoded and truncated in any way. Therefore every run of eight characters of a secret is
masked: raw, URL-encoded, in base64, as HTML and as JSON.
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
MIN_SECRET_RUN = 8  # characters; ordinary text contains shorter runs by chance
MAX_SHOWN = 600  # characters of a server's text; ory/fosite states the cause after character 300
MAX_CUT_WORD = 60  # characters; a longer word is cut inside when a text is shortened
MAX_READ = 4096  # characters of a server's text that are searched
_MIN_BASE64 = 4  # characters; ordinary text contains fewer by chance
_MAX_TOKENS = 4  # tokens that a server may still echo: the current one and those before it

_CREDENTIAL = re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{4,}|\beyJ[\w-]{6,}(?:\.[\w-]*)*")
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}  # unlike lower(), it keeps the length


class Redactor:
    """Masks one environment's secrets in texts. Safe to use from many threads at once."""

    def __init__(self, credentials: Iterable[str], basic: str) -> None:
        """Take the secrets one by one, and `basic`: the pair in the Authorization header, joined and in base64."""
        self._credentials = (*credentials, basic, _decoded(basic))
        self._tokens: deque[str] = deque(maxlen=_MAX_TOKENS)
        self._lock = threading.Lock()

    def add_token(self, token: str) -> None:
        """Mask `token` from now on; only the latest four are kept."""
        with self._lock:
            if token in self._tokens:
                self._tokens.remove(token)
            self._tokens.append(token)

    def clean(self, text: str, shown: int = MAX_SHOWN) -> str:
        """Return `text` on one line of at most `shown` characters, without secrets and control characters."""
        # JSON can contain lone surrogates, which cannot be encoded for output.
        text = text[:MAX_READ].encode("utf-8", "replace").decode()
        with self._lock:
            secrets = (*self._credentials, *self._tokens)
        masked = self._masked(text, secrets)
        masked = _CREDENTIAL.sub(MASK, masked)
        line = " ".join("".join(char if char.isprintable() else " " for char in masked).split())
        return _cut(line, shown)

    def _masked(self, text: str, secrets: Iterable[str]) -> str:
        folded = text.translate(_ASCII_LOWER)
        runs = {run for secret in secrets for form in _forms(secret) for run in _runs(form)}
        hidden = bytearray(len(text))  # 1 for each character of a run
        for size in {len(run) for run in runs}:
            for start in range(len(folded) - size + 1):
                if folded[start : start + size] in runs:
                    hidden[start : start + size] = b"\x01" * size
        return re.sub("\x00+", MASK, "".join("\x00" if hide else char for char, hide in zip(text, hidden, strict=True)))


def _cut(line: str, shown: int) -> str:
    """Return at most `shown` characters of `line`, cut between words unless the last word is too long."""
    if len(line) <= shown:
        return line
    end = shown - 1
    blank = line.rfind(" ", 0, shown)
    return line[: blank if blank > 0 and end - blank <= MAX_CUT_WORD else end] + "…"


def _decoded(basic: str) -> str:
    """Return the decoded pair, so that runs across its colon are masked too."""
    try:
        return base64.b64decode(basic, validate=True).decode()
    except ValueError:
        return ""


def _forms(secret: str) -> Iterator[str]:
    """Yield the forms in which a server may echo a secret."""
    in_form = quote_plus(secret)
    yield secret
    yield in_form
    yield quote(secret, safe="")
    yield html.escape(secret)
    yield json.dumps(secret)[1:-1]
    yield from _in_base64(secret.encode())
    if in_form != secret:
        yield from _in_base64(in_form.encode())  # a server may encode the whole form that it received


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yield the base64 of a text that contains `raw`, for each of the three alignments.

    Characters that depend on the text around `raw` are left out.
    """
    for lead in range(3):
        encoded = base64.b64encode(b"\x00" * lead + raw).decode()
        inner = encoded[(0, 2, 3)[lead] : len(encoded) - (0 if (lead + len(raw)) % 3 == 0 else 4)]
        if len(inner) < _MIN_BASE64:
            continue
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))
    if len(raw) >= _MIN_BASE64:
        yield base64.b64encode(raw).decode().rstrip("=")


def _runs(form: str) -> Iterator[str]:
    folded = form.translate(_ASCII_LOWER)
    if len(folded) <= MIN_SECRET_RUN:
        if folded:
            yield folded
        return
    for start in range(len(folded) - MIN_SECRET_RUN + 1):
        yield folded[start : start + MIN_SECRET_RUN]
