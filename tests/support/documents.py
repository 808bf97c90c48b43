"""The project's Markdown documents: their text, sections, blocks of commands, headings and links."""

from __future__ import annotations

import itertools
import re
from pathlib import PurePosixPath

from tests.support.blocks import fenced, without
from tests.support.checkout import ROOT, tracked

FILES = tracked(".")
DOCUMENTS = sorted(name for name in FILES if name.endswith(".md"))

_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_PARAGRAPH_END = re.compile(r"\n\s*\n|^\s*(?:[-*+]|\d+\.|#+)\s+|\n(?=\|)", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def text(name: str) -> str:
    """Return the text of the document at this path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """Return the text below a heading of level 2, up to the next one. Raises `IndexError` if it does not exist."""
    return text(name).split(f"\n## {heading}\n")[1].split("\n## ")[0]


def blocks(markdown: str, language: str = "sh") -> list[str]:
    """Return the text of the fenced blocks in this language."""
    return [block.text for block in fenced(markdown) if block.info.partition(" ")[0] == language]


def prose(markdown: str) -> str:
    """Return the text without its blocks."""
    return without(markdown)


def headings(markdown: str, level: int) -> list[str]:
    """Return the headings of this level, in their order."""
    return [title for marks, title in _HEADING.findall(prose(markdown)) if len(marks) == level]


def anchors(markdown: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings."""
    names: list[str] = []
    for _, title in _HEADING.findall(prose(markdown)):
        base = _NOT_IN_ANCHORS.sub("", title.lower()).replace(" ", "-")
        count = sum(re.fullmatch(rf"{re.escape(base)}(-\d+)?", name) is not None for name in names)
        names.append(f"{base}-{count}" if count else base)
    return set(names)


def links(markdown: str) -> list[str]:
    """Return the targets of the relative links and images, in their order."""
    targets = _LINK.findall(_INLINE_CODE.sub("", prose(markdown)))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def broken_links(name: str, markdown: str) -> list[str]:
    """Return the links of the document `name` whose file or anchor does not exist."""
    return [target for target in links(markdown) if not _resolves(name, markdown, target)]


def _resolves(name: str, markdown: str, target: str) -> bool:
    file, _, anchor = target.partition("#")
    path = (ROOT / PurePosixPath(name).parent / file).resolve()
    if file and str(path.relative_to(ROOT)) not in FILES:
        return False
    return not anchor or anchor in anchors(path.read_text(encoding="utf-8") if file else markdown)


def repetitions(markdown: str) -> list[str]:
    """Return the lines and the sentences that follow an identical one, with or without blank lines between them."""
    lines = [line.strip() for line in markdown.splitlines() if line.strip()]
    paragraphs = [" ".join(paragraph.split()) for paragraph in _PARAGRAPH_END.split(prose(markdown))]
    sentences = [sentence for paragraph in paragraphs if paragraph for sentence in _SENTENCE_END.split(paragraph)]
    return list(dict.fromkeys([*_repeated(lines), *_repeated(sentences)]))


def _repeated(parts: list[str]) -> list[str]:
    return [part for before, part in itertools.pairwise(parts) if part == before]
