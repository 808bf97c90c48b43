"""Search for parts of tokens. An index of every eleventh piece of a token keeps its size and cost small."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from monitor.tigr.folding import SPREAD

MIN_TOKEN_RUN = 16  # characters of a token
# A run of 16 contains one whole piece of six that begins at a multiple of eleven in the token.
_PIECE, _STEP = 6, 11
_NUMBER = 8  # bytes of the number that stands for a piece
_MAX_ATTEMPTS = 64  # pieces of a text that are compared with whole tokens
_MAX_POSITIONS = 8  # of a piece in the tokens; the pieces of a token that repeats itself have more
_MARKED_RUN = b"\1" * MIN_TOKEN_RUN
_LINE_END = ord("\n")
_UNBROKEN = re.compile(rb"\S{16,}")


class TokenIndex:
    """An immutable index of some tokens, which are ASCII without blanks. Case is ignored."""

    def __init__(self, tokens: Sequence[str] = (), previous: TokenIndex | None = None) -> None:
        """Take the tokens. One that is shorter than a run is searched for as a whole word.

        The index is made from `previous` in less time if most tokens are the same.
        """
        long = [token for token in tokens if len(token) >= MIN_TOKEN_RUN]
        short = [re.escape(token) for token in tokens if len(token) < MIN_TOKEN_RUN]
        self._short = re.compile(rf"(?<!\w)(?:{'|'.join(short)})(?!\w)", re.IGNORECASE) if short else None
        self._text = _lower("\n".join(long))  # no run contains a line end
        self._marks = bytes(code in self._text and code != _LINE_END for code in range(0x100))  # by the character
        self.tokens = frozenset(long)
        # Positions would take a fifth of the memory.
        self.pieces: AbstractSet[int] = (
            _united(self.tokens, previous.tokens, previous.pieces) if previous else _united(self.tokens)
        )

    def short_masked(self, text: str, mask: str) -> str:
        """Return `text` with the tokens that are shorter than a run replaced by `mask`."""
        return text if self._short is None else self._short.sub(mask, text)

    def masked(self, text: str, mask: str) -> str:
        """Return `text` with each run of a token replaced by `mask`."""
        lower, parts, end = _lower(text), [], 0
        for first, last in self._runs(lower):
            if first >= end:
                parts += [text[end:first], mask]
            end = max(end, last)
        return "".join((*parts, text[end:]))

    def occur_in(self, text: str) -> bool:
        """Return whether an unbroken part of a text contains a run of a token."""
        if self._short is not None and self._short.search(text):
            return True
        return any(True for _ in self._runs(_lower(text)))

    def _runs(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield the runs of the unbroken parts of a text."""
        # Words have few of a token's characters next to each other; escapes have others.
        if _MARKED_RUN not in text.translate(self._marks):
            return
        if self.pieces.isdisjoint(_pieces(text)):
            return
        for unbroken in _UNBROKEN.finditer(text):
            yield from self._runs_between(text, *unbroken.span())

    def _runs_between(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the runs between two positions of `text`, in order of their first pieces."""
        attempts, covered = _MAX_ATTEMPTS, start
        for at, number in enumerate(_pieces(text[start:end]), start):
            if at + _PIECE <= covered or number not in self.pieces:
                continue
            attempts -= 1
            run = self._run_around(text, at, start, end) if attempts >= 0 else (start, end)
            if run[1] - run[0] >= MIN_TOKEN_RUN:
                covered = run[1]
                yield run

    def _run_around(self, text: bytes, at: int, start: int, end: int) -> tuple[int, int]:
        """Return the longest run around a piece, over its positions in the tokens."""
        piece, runs = text[at : at + _PIECE], list[tuple[int, int]]()
        position = self._text.find(piece)
        while position >= 0 and len(runs) < _MAX_POSITIONS:
            runs.append(self._extended(text, at, position, start, end))
            position = self._text.find(piece, position + 1)
        return max(runs, key=lambda run: run[1] - run[0]) if position < 0 else self._searched(text, at, start, end)

    def _extended(self, text: bytes, at: int, position: int, start: int, end: int) -> tuple[int, int]:
        """Return the longest run around a piece at a position of the tokens."""
        first, before = at, position
        while first > start and before > 0 and text[first - 1] == self._text[before - 1]:
            first, before = first - 1, before - 1
        last, after = at + _PIECE, position + _PIECE
        while last < end and after < len(self._text) and text[last] == self._text[after]:
            last, after = last + 1, after + 1
        return first, last

    def _searched(self, text: bytes, at: int, start: int, end: int) -> tuple[int, int]:
        """Return the union of the runs of 16 around a piece."""
        firsts = [
            first
            for first in range(max(start, at + _PIECE - MIN_TOKEN_RUN), min(at, end - MIN_TOKEN_RUN) + 1)
            if text[first : first + MIN_TOKEN_RUN] in self._text
        ]
        return (firsts[0], firsts[-1] + MIN_TOKEN_RUN) if firsts else (at, at)


def _united(
    tokens: frozenset[str], known: frozenset[str] = frozenset(), known_pieces: AbstractSet[int] = frozenset()
) -> AbstractSet[int]:
    """Return the pieces of all tokens, made from those of the known ones."""
    gone = known - tokens
    pieces = set(known_pieces)
    for token in gone:
        pieces.difference_update(_pieces(_lower(token), _STEP))
    # Tokens begin alike, so the pieces of one that is gone may be those of another too.
    for token in tokens if gone else tokens - known:
        pieces.update({*_pieces(_lower(token), _STEP)})  # a set is added in one step, in the memory that it needs
    return pieces


def _pieces(text: bytes, step: int = 1) -> memoryview[int]:
    """Return the pieces that begin at every `step`-th position of a text, as numbers.

    Numbers are made and looked up several times faster than slices of the text.
    """
    text = text.translate(SPREAD)
    count = max(0, (len(text) - _PIECE) // step + 1)
    numbers = bytearray(count * _NUMBER)
    for at in range(_PIECE):
        numbers[at::_NUMBER] = text[at : at + count * step : step]
    return memoryview(numbers).cast("Q")


def _lower(text: str) -> bytes:
    """Return `text` in lower case, one byte per character; tokens and their pieces are smaller as bytes."""
    return text.encode("latin-1", "replace").lower()
