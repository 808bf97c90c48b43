"""Search for runs of eight characters of a secret. The time depends on the text, not on the secrets."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from monitor.tigr.documented import SENTENCES
from monitor.tigr.folding import CONTROL, LOWER, LOWER_BLANKS, folded, forms

MIN_RUN = 8  # characters of a secret; ordinary text contains shorter runs by chance
_PIECE = 4  # characters: every run of eight contains a whole piece of four that begins at a multiple of four
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
        self._has_blanks = " " in characters

    def may_occur_in(self, data: bytes) -> bool:
        """Return whether a form of `data` may contain a run, in a fraction of the time of a search.

        Bytes that are no text hardly ever have eight characters of the secrets next to each other.
        """
        return _MARKED_RUN in data.translate(self._marks, CONTROL) or (
            self._has_blanks and _MARKED_RUN in data.translate(self._spaced_marks, b"\0")
        )

    def occur_in(self, text: str) -> bool:
        """Return whether a form of a text contains a run."""
        known, pieces = self._pieces_of(text)
        return not known.isdisjoint(pieces) and any(
            text[start : start + MIN_RUN] in self._runs
            for at, piece in enumerate(pieces)
            if piece in known
            for start in range(max(0, at * _PIECE - (MIN_RUN - _PIECE)), at * _PIECE + 1)
        )

    def _pieces_of(self, text: str) -> tuple[frozenset[int | str], Sequence[int | str]]:
        """Return the pieces of the secrets and of a text. As numbers, they are looked up several times faster."""
        if (numbers := _narrow(text)) is not None:
            return self._narrow, numbers
        if (numbers := _wide(text)) is not None:
            return self._wide, numbers
        return self._pieces, [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]


def _narrow(text: str) -> array[int] | None:
    """Return a text of Latin-1 as numbers of four characters each, without the rest; None if it is no Latin-1."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return array("I", data[: len(data) // _PIECE * _PIECE])


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
