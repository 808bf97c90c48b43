"""Search for runs of eight characters of a secret. The time depends on the text, not on the secrets."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count

from monitor.tigr.documented import SENTENCES
from monitor.tigr.folding import CONTROL, LOWER, LOWER_BLANKS, SPREAD, folded, forms

MIN_RUN = 8  # characters of a secret; ordinary text contains shorter runs by chance
_PIECE = 4  # characters: every run of eight contains a whole piece of four that begins at a multiple of four
_AROUND_BLANK = re.compile(r"[^ ] [^ ]")
_MARKED_RUN = b"\1" * MIN_RUN


class Runs:
    """The runs of some secrets, each in a canonical form."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Take the forms of the secrets. Runs in documented sentences do not count.

        Nor does an ordinary word of seven letters with a blank at one end.
        """
        runs = {run for secret in secrets for run in _windows(secret, MIN_RUN)}
        self._runs = {run for run in runs if run == run.strip() or " " in run.strip()} - _DOCUMENTED
        self._pieces = frozenset(piece for run in self._runs for piece in _windows(run, _PIECE))
        self._narrow = frozenset(number for piece in self._pieces for number in _narrow(piece) or ())
        self._wide = frozenset(number for piece in self._pieces for number in _wide(piece) or ())
        characters = set[str]().union(*self._runs)
        self._marks = bytes(chr(code) in characters for code in LOWER)  # by the code of a character
        self._spaced_marks = bytes(chr(code) in characters or chr(code).isspace() for code in LOWER_BLANKS)
        self._with_blanks = {_around_blank(run) for run in self._runs if " " in run or not run.isprintable()}

    def occur_in_bytes(self, data: bytes) -> bool:
        """Return whether a form of `data` contains a run."""
        dense = _marked(data, self._marks, LOWER, CONTROL)
        if dense and self.occur_in(dense.decode("latin-1")):
            return True
        spaced = _marked(data, self._spaced_marks, LOWER_BLANKS, b"\0") if self._with_blanks else b""
        return bool(spaced) and self.occur_in(b" ".join(spaced.split()).decode("latin-1"))

    def occur_in(self, text: str) -> bool:
        """Return whether a form of a text contains a run.

        A form with blanks is searched for runs with blanks; the others are in the form without.
        """
        if " " in text and not any(part in text for part in self._with_blanks):
            return False
        known, pieces = self._pieces_of(text)
        return not known.isdisjoint(pieces) and any(
            text[start : start + MIN_RUN] in self._runs
            for at in compress(count(), map(known.__contains__, pieces))
            for start in range(max(0, at * _PIECE - (MIN_RUN - _PIECE)), at * _PIECE + 1)
        )

    def _pieces_of(self, text: str) -> tuple[frozenset[int | str], Sequence[int | str]]:
        """Return the pieces of the secrets and of a text. As numbers, they are looked up several times faster."""
        if (numbers := _narrow(text)) is not None:
            return self._narrow, numbers
        if (numbers := _wide(text)) is not None:
            return self._wide, numbers
        return self._pieces, [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _marked(data: bytes, marks: bytes, table: bytes, deleted: bytes) -> bytes:
    """Return the parts of the form of `data` that may contain a run; `marks` and `table` are tables of `translate`.

    Bytes that are no text hardly ever have eight characters of the secrets next to each other.
    """
    marked = data.translate(marks, deleted)
    start = marked.find(_MARKED_RUN)
    if start < 0:
        return b""
    form, parts = data.translate(table, deleted), list[bytes]()
    while start >= 0:
        end = marked.find(b"\0", start)
        end = end if end >= 0 else len(marked)
        parts.append(form[start:end])
        start = marked.find(_MARKED_RUN, end)
    return b"\0%b\0" % b"\0".join(parts)  # a blank at an end of a part counts


def _around_blank(run: str) -> str:
    """Return a part of a run with a blank inside, by which texts are chosen that may contain the run."""
    match = _AROUND_BLANK.search(run)
    return match[0] if match else run


def _narrow(text: str) -> array[int] | None:
    """Return a text of Latin-1 as numbers of four characters each, without the rest; None if it is no Latin-1."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return array("I", data[: len(data) // _PIECE * _PIECE].translate(SPREAD))


def _wide(text: str) -> array[int] | None:
    """Return a text as numbers of four characters each, without the rest; None if a character is beyond the BMP."""
    data = text.encode("utf-16", "surrogatepass")[2:]
    size = 2 * _PIECE
    return array("Q", data[: len(data) // size * size]) if len(data) == 2 * len(text) else None


def _windows(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(len(text) - size + 1))


_DOCUMENTED = {
    run
    for sentence in SENTENCES
    for form in forms(folded(sentence), blanks=True)
    for run in _windows(form, MIN_RUN)
}  # fmt: skip
