"""Decoded views of a text: every reading of it in which a secret may appear.

Encodings may be combined in up to three layers. Each view costs a part of a budget in proportion to the text, so the
time of a search is proportional to the text too.
"""

from __future__ import annotations

import html
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from monitor.tigr.folding import as_text, folded, squeezed
from monitor.tigr.packed import Packed

MAX_LAYERS = 3  # encodings around each other
_MAX_GROWTH = 12  # times the characters of the text, in all views
_MIN_BUDGET = 4096  # characters, so that short texts may have many views
_VIEW_COST = 64  # characters: the cost of a view that does not depend on its length

_MISREAD = re.compile(r"[\xc2-\xf4][^\0-\x7f]")  # the first bytes of a character in UTF-8, read as Latin-1
_MARKUP = re.compile(r"</?[A-Za-z!?][^<>]*>|\x1b\[[0-9;]*[A-Za-z]")
# The letters may be in upper case because the whole text is.
_BACKSLASH = re.compile(
    r"\\U(00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})"
    r"|((?:\\[uU][0-9a-fA-F]{4})+)|((?:\\[xX][0-9a-fA-F]{2})+)|((?:\\[0-3][0-7]{2})+)"
    r"|\\(?:[uU]\{([0-9a-fA-F]{1,6})\}|([nrtbfv]|[^\w\s]))",
)
_NOT_PRINTED = str.maketrans("nrtbfv", "\n\r\t\0\0\0")  # letters after a backslash that stand for control characters
_PERCENT_U = re.compile(r"%u([0-9a-fA-F]{4})", re.IGNORECASE)
_ZEROS = re.compile(r"(&#x?)0+(?=[0-9a-fA-F])", re.IGNORECASE)
_CAPITALS = re.compile(r"&[A-Z]{2,}[0-9]*;")  # of a text in upper case; the names of most entities are in lower case
_TOO_LONG_REFERENCE = re.compile(r"&#[0-9]{10,};?")  # int() refuses more than 4300 digits
# A reference as in `html.unescape`, or a sequence of those of printable ASCII.
_REFERENCE = re.compile(
    r"&(?:(#{dec};(?:&#{dec};)*)|(#[xX]{hex};(?:&#[xX]{hex};)*)"
    r"|#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{{1,32}};?)".format(
        dec=r"(?:3[2-9]|[4-9][0-9]|1[01][0-9]|12[0-6])", hex=r"(?:[2-6][0-9a-fA-F]|7[0-9a-eA-E])"
    )
)
_HEX_REFERENCE = str.maketrans("", "", "&#xX;")
_NAMED = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&amp;": "&"}  # the frequent ones, in the order of replacement
_BARE_PERCENT = re.compile(rb"%(?![0-9a-fA-F]{2})")
_QUOTED = re.compile(r"(?:=[0-9a-fA-F]{2})+")  # quoted-printable
_SOFT_BREAK = re.compile(r"=[ \t\r\n]+")
_SPACED_MARKUP = re.compile(r"<[\0-\x20]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# An escape with a blank or a control character inside it.
_BROKEN = re.compile(
    r"(?:%[0-9a-fA-F]?|=[0-9a-fA-F]?|&(?=[^&]{0,30};)[#0-9a-zA-Z]*|\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?)[\0-\x20]"
)


class BudgetExceededError(Exception):
    """A text has more decoded views than its budget permits."""


def views(text: str) -> Iterator[str | bytes]:
    """Yield the views of `text`, the text itself first; bytes if a view is no text. No text is yielded twice.

    Raises `BudgetExceededError`.
    """
    budget = max(_MIN_BUDGET, _MAX_GROWTH * len(text))
    layer = [text]
    seen, decoded, yielded = set(layer), set[str](), set[str]()
    for depth in range(MAX_LAYERS + 1):
        following: list[str] = []
        for view in layer:
            deeper = [*_misread(view)]
            for reading in _readings(folded(view)):
                if reading in decoded:
                    continue
                decoded.add(reading)
                budget -= len(reading) + _VIEW_COST
                if budget < 0:
                    raise BudgetExceededError
                if reading not in yielded:
                    yielded.add(reading)
                    yield reading
                if depth < MAX_LAYERS:
                    packed = Packed(reading)
                    yield from packed.decoded
                    unescaped, partly = _unescaped(reading)
                    others = {folded(each) for each in partly} - yielded
                    yielded |= others
                    yield from others
                    deeper += (*unescaped, *packed.texts())
            following += [each for each in dict.fromkeys(deeper) if each not in seen]
            seen.update(following)
        layer = following


def _readings(view: str) -> Iterator[str]:
    """Yield a view, and the same without markup."""
    yield view
    if "<" in view or "\x1b" in view:
        plain = _MARKUP.sub("", squeezed(view) if _SPACED_MARKUP.search(view) else view)
        if plain != view:
            yield plain


def _misread(text: str) -> Iterator[str]:
    """Yield the text that UTF-8 stands for if `text` is UTF-8 that was read in another character set."""
    if not text.isascii() and _MISREAD.search(text):
        for charset in ("latin-1", "cp1252"):
            yield text.encode(charset, "ignore").decode("utf-8", "ignore")


def _unescaped(text: str) -> tuple[list[str], list[str]]:
    """Return the views of a text with its escapes resolved, and with those of one kind only.

    A secret may look like an escape of another kind. Escapes may contain blanks, so they are resolved without them too.
    """
    resolved, partly = list[str](), list[str]()
    dense = squeezed(text)
    for source in (text, dense) if len(dense) < len(text) and _BROKEN.search(text) else (text,):
        alone = {step: step(source) for char, step in _STEPS.items() if char in source}
        steps = [*_resolved_steps(source, alone)]
        if steps:
            resolved.append(steps[-1])
            partly += (*steps[:-1], *alone.values())
        if "=" in source and (_QUOTED.search(source) or _SOFT_BREAK.search(source)):
            resolved.append(_QUOTED.sub(_resolve_quoted, _SOFT_BREAK.sub("", source)))
    return resolved, partly


def unescape(text: str) -> str:
    """Return `text` with the escapes of JSON, HTML and URLs resolved once."""
    return next(iter(deque(_resolved_steps(text, {}), maxlen=1)), text)


def _resolved_steps(source: str, alone: Mapping[Callable[[str], str], str]) -> Iterator[str]:
    """Yield the text after each kind of escape that it holds. `alone` has the results for the text as it is."""
    text = source
    for char, step in _STEPS.items():
        if char in text:
            text = alone[step] if text == source and step in alone else step(text)
            yield text


def _without_backslashes(text: str) -> str:
    return _paired(_BACKSLASH.sub(_resolve_backslash, text))


def _without_entities(text: str) -> str:
    if text.count("&") == sum(map(text.count, _NAMED)):
        for reference, char in _NAMED.items():
            text = text.replace(reference, char)
        return text
    text = _CAPITALS.sub(lambda match: match[0].lower(), text)
    if "&#" in text:
        text = _TOO_LONG_REFERENCE.sub("", _ZEROS.sub(r"\1", text))
    return _REFERENCE.sub(_resolve_reference, text)


def _without_percents(text: str) -> str:
    text = _paired(_PERCENT_U.sub(lambda match: chr(int(match[1], 16)), text) if "%u" in text.lower() else text)
    # The codec of Python's escapes decodes every escape at once.
    escapes = _BARE_PERCENT.sub(b"%25", text.encode("utf-8", "replace")).replace(b"\\", b"%5C").replace(b"%", b"\\x")
    return as_text(escapes.decode("unicode_escape").encode("latin-1"))


def _paired(text: str) -> str:
    """Return `text` with pairs of surrogates joined."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_STEPS: dict[str, Callable[[str], str]] = {
    "\\": _without_backslashes,
    "&": _without_entities,
    "%": _without_percents,
}  # by the first character


def _resolve_backslash(match: re.Match[str]) -> str:
    long, utf16, single, octal, braced, other = match.groups()
    if utf16:
        return bytes.fromhex(utf16.lower().replace("\\u", "")).decode("utf-16-be", "surrogatepass")
    if single:
        return as_text(bytes.fromhex(single.lower().replace("\\x", "")))
    if octal:
        return as_text(bytes(int(digits, 8) for digits in octal.split("\\")[1:]))
    if other:
        return str(other.translate(_NOT_PRINTED))
    code = int(braced or long, 16)
    return chr(code) if code <= 0x10FFFF else ""


def _resolve_reference(match: re.Match[str]) -> str:
    """Return what `html.unescape` returns, in less time for the references of ASCII."""
    decimal, hexadecimal = match.groups()
    if decimal:
        return bytes(map(int, decimal[1:-1].split(";&#"))).decode()
    if hexadecimal:
        return bytes.fromhex(hexadecimal.translate(_HEX_REFERENCE)).decode()
    return _NAMED.get(match[0]) or html.unescape(match[0])


def _resolve_quoted(match: re.Match[str]) -> str:
    return as_text(bytes.fromhex(match[0].replace("=", "")))
