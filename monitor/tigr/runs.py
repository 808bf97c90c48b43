"""Search for runs of eight characters of a secret. The time depends on the text, not on the secrets."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from monitor.tigr.documented import SENTENCES
from monitor.tigr.folding import folded, forms

MIN_RUN = 8  # characters of a secret; ordinary text contains shorter runs by chance
_PIECE = 4  # characters: every run of eight contains a whole piece of four that begins at a multiple of four


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

    def occur_in(self, text: str) -> bool:
        """Return whether a form of a text contains a run."""
        if (numbers := _narrow(text)) is not None:
            if self._narrow.isdisjoint(numbers):
                return False
        elif (numbers := _wide(text)) is not None and self._wide.isdisjoint(numbers):
            return False
        return any(
            text[start : start + MIN_RUN] in self._runs
            for at in range(0, len(text), _PIECE)
            if text[at : at + _PIECE] in self._pieces
            for start in range(max(0, at - (MIN_RUN - _PIECE)), at + 1)
        )


# As numbers, pieces are looked up several times faster than as texts.


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
