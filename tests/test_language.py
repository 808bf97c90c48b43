"""The language of the project: plain technical English, as far as a program can see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import language

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # the subject is not the monitor
]


def test_the_project_is_written_in_plain_technical_english() -> None:
    """`python -m tests.support.language` prints the same list."""
    assert [str(finding) for finding in language.findings()] == []


@pytest.mark.parametrize(
    "name,text,expected",
    [
        ("a.py", '"""Look anew."""', ["a.py:1: word 'anew'"]),
        ("a.py", '"""Return it.\n\nWhoever asks."""', ["a.py:3: word 'Whoever'", "a.py:1: opening 'Whoever asks.'"]),
        ("a.py", '"""What it is."""', ["a.py:1: opening 'What it is.'"]),
        ("a.py", "x = 1  # Who asks", ["a.py:1: opening 'Who asks'"]),
        ("a.py", "x = 1  # a first sentence. Where it ends", ["a.py:1: opening 'Where it ends'"]),
        ("a.py", "def tell_it(): ...", ["a.py:1: identifier 'tell_it' has tell"]),
        ("a.py", "class OpenDoor: ...", ["a.py:1: identifier 'OpenDoor' has door"]),
        ("a.py", "place = 1", ["a.py:1: identifier 'place'"]),
        ("a.py", "def f(found): ...", ["a.py:1: identifier 'found'"]),
        ("a.md", "Nobody knows.\n", ["a.md:1: word 'Nobody'", "a.md:1: opening 'Nobody knows.'"]),
        ("a.md", "- Where it stands\n", ["a.md:1: opening 'Where it stands'"]),
        ("a.md", "# What it is\n\n`told`, and\n\n```\nanew\n```\n", []),
        ("a.md", "## Glossary\n\n| report | told |\n\n## Next\n\ntold\n", ["a.md:7: word 'told'"]),
        ("Makefile", "x: ## mended\n", ["Makefile:1: word 'mended'"]),
        ("a.py", '"""Return whether it works."""', []),
        ("a.py", "def replace(x): ...", []),
    ],
)
def test_each_rule_finds_what_breaks_it(
    name: str, text: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words anywhere in prose, openings of sentences, and identifiers; code and headings are exempt."""
    monkeypatch.setattr(language, "ROOT", tmp_path)
    (tmp_path / name).write_text(text)
    assert [str(finding) for finding in language.findings({name})] == expected
