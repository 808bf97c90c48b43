"""The fenced blocks of the documents: their marks, and the rules for blocks and for commands in prose."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

# Languages of blocks without commands: output, and the contents of files.
LANGUAGES = frozenset({"text", "ini", "json", "toml", "yaml"})
# The installations that a block of commands is for; several may stand in one mark.
INSTALLATIONS = ("package", "pip", "docker", "kubernetes", "source", "prometheus")
# The programs whose commands belong into blocks if they have more than one word after the name of the program.
PROGRAMS = frozenset(
    re.findall(
        r"\S+",
        """
        amtool apt apt-get bash chronyc curl docker dpkg git groupadd install journalctl kubectl make pip pip-audit
        podman promtool python python3 rm sed ssh sudo systemctl systemd-analyze systemd-creds tigr-monitor timedatectl
        """,
    )
)

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$\n?", re.MULTILINE | re.DOTALL)
_INFO = re.compile(r'sh((?: [a-z]+)+)(?: untested="([^"]+)")?')
_CODE_SPAN = re.compile(r"(?P<before>\S*)\s*`(?P<code>[^`]+)`")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `installations` is empty if it has no commands, `untested` is the reason why no test runs it."""

    line: int
    info: str
    text: str
    installations: frozenset[str] = frozenset()
    untested: str = ""


def fenced(markdown: str) -> list[Block]:
    """Return the fenced blocks in their order, without their indentation."""
    blocks = []
    for match in _FENCE.finditer(markdown):
        line, info = markdown.count("\n", 0, match.start()) + 1, match["info"]
        marks = _INFO.fullmatch(info)
        names, reason = (frozenset(marks[1].split()), marks[2] or "") if marks else (frozenset[str](), "")
        blocks.append(Block(line, info, textwrap.dedent(match["body"]), names, reason))
    return blocks


def without(markdown: str) -> str:
    """Return the Markdown with an empty line for each line of a fenced block."""
    return _FENCE.sub(lambda match: "\n" * match[0].count("\n"), markdown)


def problems(markdown: str) -> list[str]:
    """Return the violations of the rules for commands, each with its line."""
    violations = [f"line {block.line}: {problem}" for block in fenced(markdown) if (problem := _mark_problem(block))]
    for number, line in enumerate(without(markdown).splitlines(), 1):
        if line.startswith("    "):
            violations.append(f"line {number}: an indented block; use a fenced one")
        if "```" in line:
            violations.append(f"line {number}: a fence without its other end")
    return violations + _commands_in_prose(without(markdown))


def _mark_problem(block: Block) -> str:
    language = block.info.partition(" ")[0]
    if language == "sh":
        unknown = block.installations - set(INSTALLATIONS)
        if not block.installations:
            return "a block of commands without the installations that it is for"
        return f"unknown installation {', '.join(sorted(unknown))}" if unknown else ""
    return "" if block.info in LANGUAGES else f"unknown mark {block.info!r}"


def _commands_in_prose(markdown: str) -> list[str]:
    """Return the commands in code spans that belong into blocks. Rows of tables cannot have blocks and may have any."""
    prose = "\n".join("" if line.lstrip().startswith("|") else line for line in markdown.splitlines())
    violations = []
    for match in _CODE_SPAN.finditer(prose):
        program, *arguments = match["code"].split()
        if program.rpartition("/")[2] not in PROGRAMS:
            continue
        if len(arguments) > 1 or (arguments and match["before"].lower() in {"run", "execute", "type"}):
            line = prose.count("\n", 0, match.start("code")) + 1
            violations.append(f"line {line}: the command {match['code']!r} belongs into a block")
    return violations
