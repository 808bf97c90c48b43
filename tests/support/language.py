"""Checks of the project's language: words, sentence openings and identifiers that plain technical English replaces.

`python -m tests.support.language [PATH …]` prints each place with its line, for all tracked files or for these.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from tests.support.checkout import ROOT, tracked

BANNED_WORDS = (
    "anew", "whoever", "nobody", "somebody", "for ever", "oftener", "mend", "mends", "mended", "besides", "beside",
    "to be had", "of which", "in hand", "held back", "told", "visitor", "visitors", "look-up", "superseded",
)  # fmt: skip
OPENINGS = ("What", "Who", "Whose", "Whoever", "Whatever", "Nobody", "Where")
# Parts of identifiers, between underscores or capitals: the words that the glossary replaces.
BANNED_PARTS = frozenset({
    "answer", "answers", "answered", "turn", "turns", "question", "questions", "door", "doors", "spelling", "spellings",
    "told", "tell", "tells", "say", "says", "said", "words", "memory", "memories", "recall", "remember", "superseded",
    "guard", "guards", "visitor", "visitors", "rig", "rigs", "stage", "stages",
})  # fmt: skip
BANNED_NAMES = frozenset({"own", "found", "kind", "place"})  # as a whole identifier
SELF = ("tests/support/language.py", "tests/test_language.py")
PROSE_STRINGS = ("monitor/", "grafana/", "benchmarks/", "release/")  # their string literals are read by people
MIN_PROSE_WORDS = 3  # a literal of fewer words is a value

_WORD = re.compile(r"(?<![\w-])(" + "|".join(re.escape(word) for word in BANNED_WORDS) + r")(?![\w-])", re.IGNORECASE)
_OPENING = re.compile(r"(?:" + "|".join(OPENINGS) + r")\b")
_INLINE_CODE = re.compile(r"`[^`]*`")
_COMMENT = re.compile(r"(?:^|\s)#+ ?(.*)$")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_CODE_FENCE = ("```", "~~~")


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that breaks a rule."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def findings(paths: set[str] | None = None) -> list[Finding]:
    """Return every finding in these tracked files, or in all."""
    names = sorted(tracked(".") if paths is None else paths)
    return [finding for name in names if name not in SELF for finding in _in_file(name)]


def _in_file(name: str) -> Iterator[Finding]:
    path = ROOT / name
    if path.suffix == ".py":
        yield from _in_python(name, path.read_text())
    elif path.suffix == ".md":
        yield from _in_markdown(name, path.read_text())
    elif path.suffix in {".yml", ".yaml", ".toml", ".service", ".timer", ".conf"} or path.name in {
        "Makefile", "Dockerfile", ".dockerignore",
    }:  # fmt: skip
        yield from _in_comments(name, path.read_text())


def _in_python(name: str, source: str) -> Iterator[Finding]:
    tree = ast.parse(source)
    docstrings = {id(node): node for node in _docstrings(tree)}
    for docstring in docstrings.values():
        yield from _in_paragraph(name, docstring.lineno, str(docstring.value), opening=True)
    for node in ast.walk(tree):
        for identifier in _defined(node):
            yield from _in_identifier(name, node, identifier)
        if _is_text(node) and id(node) not in docstrings and name.startswith(PROSE_STRINGS):
            yield from _in_paragraph(name, node.lineno, str(node.value), opening=False)
    yield from _in_python_comments(name, source)


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    is_string = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return is_string and len(str(getattr(node, "value", "")).split()) >= MIN_PROSE_WORDS


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def _in_python_comments(name: str, source: str) -> Iterator[Finding]:
    previous = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            first_line = token.start[0] != previous + 1
            yield from _in_paragraph(name, token.start[0], token.string.lstrip("#").strip(), opening=first_line)
            previous = token.start[0]


def _in_markdown(name: str, source: str) -> Iterator[Finding]:
    in_code, begins, in_glossary = False, True, False
    for number, line in enumerate(source.splitlines(), start=1):
        text = line.strip()
        if text.startswith(_CODE_FENCE):
            in_code = not in_code
        elif text.startswith("#") and not in_code:
            in_glossary = text.lstrip("# ") == "Glossary"  # which names the words that it replaces
        elif in_code or in_glossary or line.startswith("    "):
            pass
        else:
            for cell in re.split(r"(?<!\\)\|", text) if text.startswith("|") else [text]:
                item = re.sub(r"^([-*+]|\d+\.)\s+", "", cell.strip())
                opening = begins or item != cell.strip()
                yield from _in_paragraph(name, number, item, opening=opening and not text.startswith("|"))
        begins = not text


def _in_comments(name: str, source: str) -> Iterator[Finding]:
    previous = False
    for number, line in enumerate(source.splitlines(), start=1):
        match = _COMMENT.search(line)
        if match:
            yield from _in_paragraph(name, number, match[1], opening=not previous)
        elif name.startswith("prometheus/") and not name.startswith("prometheus/tests/"):
            yield from _in_paragraph(name, number, line.strip(), opening=False)
        previous = match is not None and line.strip().startswith("#")


def _in_paragraph(name: str, line: int, text: str, *, opening: bool) -> Iterator[Finding]:
    prose = _INLINE_CODE.sub("``", text)
    for match in _WORD.finditer(prose):
        yield Finding(name, line + prose.count("\n", 0, match.start()), f"word {match[0]!r}")
    sentences = re.split(r"(?<=[.!?:])\s+", prose)
    for index, sentence in enumerate(sentences):
        if (index or opening) and _OPENING.match(sentence.lstrip("*_\"'(")):
            yield Finding(name, line, f"opening {sentence[:40]!r}")


def _defined(node: ast.AST) -> Iterator[str]:
    """Yield the identifiers that a node introduces."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Attribute(attr=name, ctx=ast.Store()):
            yield name


def _in_identifier(name: str, node: ast.AST, identifier: str) -> Iterator[Finding]:
    parts = {part.lower() for part in _PART.findall(identifier)}
    if banned := sorted(parts & BANNED_PARTS):
        yield Finding(name, getattr(node, "lineno", 0), f"identifier {identifier!r} has {', '.join(banned)}")
    elif identifier in BANNED_NAMES:
        yield Finding(name, getattr(node, "lineno", 0), f"identifier {identifier!r}")


def main(arguments: list[str]) -> int:
    """Print the findings; return 1 if there are any."""
    paths = {
        name
        for name in tracked(".")
        for prefix in arguments
        if name == prefix or name.startswith(f"{prefix.rstrip('/')}/")
    }
    found = findings(paths if arguments else None)
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(f"{len(found)} findings in {len({finding.path for finding in found})} files\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main([str(Path(argument)) for argument in sys.argv[1:]]))
