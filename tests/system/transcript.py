"""The commands of a documented block in a shell, with their output, their duration, and those that failed."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.support import documents
from tests.support.blocks import Block, fenced
from tests.support.checkout import ROOT

# Every command of the block runs, as if it were pasted into a shell; variables that it exports stay for the next block.
# Before each command and at the end, the shell prints a mark, the time, and the command without values of variables.
_SCRIPT = """
set +e
cd {folder}
if [ -e {exported} ]; then . {exported}; fi
exec {{mark}}>&1
trap 'printf "%s %s\\n" "$?" "${{BASH_COMMAND%%$'"'\\n'"'*}}" >> {failed}' ERR
trap 'printf "\\036%s %s\\n" "$EPOCHREALTIME" "${{BASH_COMMAND%%$'"'\\n'"'*}}" >&$mark' DEBUG
{block}
trap - ERR DEBUG
export -p > {exported}
"""
_PROGRESS = re.compile(r"^\(Reading database \.\.\.(?: \d+%)?\s*$\n?", re.MULTILINE)  # of dpkg
_FAILED, _EXPORTED, _MARK = "failed", "exported", "\x1e"


@dataclass(frozen=True, slots=True)
class DocumentedBlock:
    """A block and its document."""

    document: str
    block: Block

    def __str__(self) -> str:
        return f"{self.document}:{self.block.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a block, with its output and its duration in seconds."""

    text: str
    output: str
    seconds: float

    def __str__(self) -> str:
        return f"$ {self.text}    # {self.seconds:.1f} s\n{_PROGRESS.sub('', self.output)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a block: the status of each command that failed, the commands, and the output of all."""

    failures: dict[str, int]
    commands: tuple[Command, ...]
    output: str

    def __str__(self) -> str:
        return f"{self.failures or ''}\n{''.join(map(str, self.commands))}"

    @property
    def seconds(self) -> float:
        """Return the duration of all commands."""
        return sum(command.seconds for command in self.commands)


def documented_blocks(
    order: tuple[str, ...], *installations: str, untested: Container[str] = ()
) -> list[DocumentedBlock]:
    """Return the blocks for one of these installations, and the untested ones with these texts, in their order."""
    return [
        DocumentedBlock(name, block)
        for name in order
        for block in fenced(documents.text(name))
        if block.installations & set(installations) and (not block.untested or block.text in untested)
    ]


def documents_with(*installations: str) -> set[str]:
    """Return the documents that have blocks for one of these installations."""
    return {each.document for each in documented_blocks(tuple(documents.DOCUMENTS), *installations)}


@dataclass(frozen=True, slots=True)
class ShellState:
    """The files in which the shells of consecutive blocks leave their variables and the failed commands."""

    folder: Path  # as the test sees it
    shell_folder: Path  # as the shell sees it

    def script(self, block: str, folder: str) -> str:
        """Return the script that runs a block in a folder."""
        (self.folder / _FAILED).unlink(missing_ok=True)
        paths = {name: self.shell_folder / name for name in (_FAILED, _EXPORTED)}
        return _SCRIPT.format(block=block, folder=folder, **paths)

    def outcome(self, output: str) -> Outcome:
        """Return the outcome of the last script."""
        file = self.folder / _FAILED
        failed = [line.partition(" ") for line in file.read_text().splitlines()] if file.exists() else []
        before, *marked = output.split(_MARK)
        parts = [_Marked(*each.partition("\n")[0].partition(" ")[::2], each.partition("\n")[2]) for each in marked]
        text = before + "".join(part.output for part in parts)
        return Outcome({command: int(status) for status, _, command in failed}, _commands(parts), text)

    def export(self, *commands: str) -> None:
        """Begin the next block with these exported variables instead of the previous ones."""
        (self.folder / _EXPORTED).write_text("\n".join(commands))


class _Marked(NamedTuple):
    """A mark, and the output after it."""

    time: str
    command: str
    output: str


def _commands(parts: list[_Marked]) -> tuple[Command, ...]:
    """Return the commands; the last mark is the end. The trap of a command that fails repeats its mark."""
    commands: list[Command] = []
    for part, following in itertools.pairwise(parts):
        command = Command(part.command, part.output, float(following.time) - float(part.time))
        if commands and commands[-1].text == command.text:
            before = commands.pop()
            command = Command(command.text, before.output + command.output, before.seconds + command.seconds)
        commands.append(command)
    return tuple(commands)


class Transcript:
    """Blocks with their commands and outputs, and when they began and ended, as one text."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._parts: list[str] = []

    def add(self, title: str, outcome: Outcome | None = None) -> None:
        """Add what has just ended: an outcome, or a text without commands."""
        ended = f"{time.monotonic() - self._begin:.0f} s"
        self._parts.append(f"=== until {ended}: {title} {outcome or ''}".rstrip() + "\n")

    def __str__(self) -> str:
        return "\n".join(self._parts)

    def write(self, name: str) -> None:
        """Write the text into build/transcripts, for a reader of the test."""
        path = ROOT / "build" / "transcripts" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(self), encoding="utf-8")
