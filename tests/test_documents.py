"""The form of the documents: links, contents lists, repetitions, and commands that stand in two places."""

from __future__ import annotations

import re

import pytest

from monitor import __version__
from release.__main__ import NAMING
from tests.support import documents
from tests.support.checkout import ROOT, tracked
from tests.support.documents import DOCUMENTS

pytestmark = pytest.mark.once

WITH_CONTENTS = [
    name for name in DOCUMENTS if name.startswith("docs/") or name in {"README.md", "CONTRIBUTING.md", "SECURITY.md"}
]
MAX_README_LINES = 200

each_document = pytest.mark.parametrize("name", DOCUMENTS)


@each_document
def test_relative_links_and_anchors_resolve(name: str) -> None:
    """Every relative link leads to a file of the repository, and to a heading of it."""
    assert documents.broken_links(name, documents.text(name)) == []


@pytest.mark.parametrize(
    "target",
    ["no-such-file.md", "#no-such-heading", "install.md#no-such-heading", "../.git/HEAD", "../README.md#Install"],
)
def test_a_broken_link_is_found(target: str) -> None:
    """A missing file, a missing heading, and a file outside the repository's files are found."""
    assert documents.broken_links("docs/metrics.md", f"# A\n\n[x]({target})\n") == [target]


def test_a_good_link_is_not_reported() -> None:
    """Links within the document, to other documents and to other files are accepted; links in code are ignored."""
    markdown = "# A `b`, c\n\n[x](#a-b-c) ![y](../Makefile) [z](../README.md#install)\n`[no](link)`\n"
    markdown += "\n```text\n[no](link)\n```\n"
    assert documents.broken_links("docs/metrics.md", markdown) == []
    assert len(documents.links(markdown)) == 3


@pytest.mark.parametrize("name", WITH_CONTENTS)
def test_a_contents_list_has_every_section(name: str) -> None:
    """The first list of a document links to its sections, in their order and under their names."""
    markdown = documents.text(name)
    before_sections = markdown.split("\n## ")[0]
    listed = re.findall(r"^- \[(.+)\]\(#.+\)$", before_sections, re.MULTILINE)
    assert listed == documents.headings(markdown, 2)


@each_document
def test_no_line_or_sentence_is_repeated(name: str) -> None:
    """No line and no sentence follows an identical one."""
    assert documents.repetitions(documents.text(name)) == []


INSTALL_BY_NAME = re.compile(
    r"\b(?:pip[3x]?|uv) (?:\w+ )*?(?:install|run) [^\n]*?(?<![/\w.-])tigr-monitor(?:\[\w+\])?(?![/\w.-])"
)


def test_no_text_installs_the_package_by_its_name() -> None:
    """The package is on no index, so any other person may register the name there."""
    names = [*tracked("monitor", "release", "systemd", "kubernetes", "Dockerfile", "Makefile"), *DOCUMENTS]
    assert len(names) > 100
    assert [name for name in names if INSTALL_BY_NAME.search((ROOT / name).read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "command", ["pip install tigr-monitor", "pip3 install -U 'tigr-monitor[demo]'", "uv tool install tigr-monitor"]
)
def test_an_installation_by_name_is_found(command: str) -> None:
    """The command is found in code and in prose; a path is no name."""
    assert INSTALL_BY_NAME.search(f"run `{command}` first")
    assert not INSTALL_BY_NAME.search("pip install /opt/tigr-monitor/wheels/x.whl ./tigr-monitor")


@pytest.mark.parametrize(
    "markdown,repeated",
    [
        ("One line\nOne line\n", ["One line"]),
        ("- One line\n\n- One line\n", ["- One line", "One line"]),
        ("It is\ntrue. It is true. Yes.\n", ["It is true."]),
        ("It is true. Yes. It is true.\n", []),
        ("# A heading\n\nYes. Yes.\n", ["Yes."]),
        ("1. Yes.\n2. Yes.\n", ["Yes."]),
        ("```sh source\nmake a\nmake a\n```\n", ["make a"]),
    ],
)
def test_a_repetition_is_found(markdown: str, repeated: list[str]) -> None:
    """Repetitions are found over the ends of lines and paragraphs, in lists and in commands."""
    assert documents.repetitions(markdown) == repeated


def test_the_readme_is_short() -> None:
    """A newcomer can read the README at once; details belong to docs/."""
    assert len(documents.text("README.md").splitlines()) <= MAX_README_LINES


def test_the_readme_links_to_every_document() -> None:
    """Each document of the repository is in the README's table, and the table has no other."""
    table = documents.section("README.md", "Documentation")
    assert sorted(documents.links(table)) == [name for name in DOCUMENTS if name != "README.md"]


def test_the_readme_installs_with_the_commands_of_the_instructions() -> None:
    """Every command of the README's installation is in docs/install.md, whose commands a test runs."""
    short = {
        line for block in documents.blocks(documents.section("README.md", "Install")) for line in block.splitlines()
    }
    complete = {line for block in documents.blocks(documents.text("docs/install.md")) for line in block.splitlines()}
    assert len(short) >= 10
    assert short - complete == set()


def test_a_release_updates_every_document_that_names_the_image() -> None:
    """Each document with the image's tag has the current version and is one of those that a release changes."""
    tags = {name: set(re.findall(r"\btigr-monitor:(\d[\w.]*)", documents.text(name))) for name in DOCUMENTS}
    with_tag = {name: versions for name, versions in tags.items() if versions}
    assert with_tag == {name: {__version__} for name in NAMING if name.endswith(".md")}
