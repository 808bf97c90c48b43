"""The commands of a documented block in a shell, with their output and those that failed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support import documents
from tests.support.blocks import Block, fenced

# Every command of the block runs, as if it were pasted into a shell; variables that it exports stay for the next block.
_SCRIPT = """
set +e
cd {clone}
if [ -e {exported} ]; then . {exported}; fi
trap 'printf "%s %s\\n" "$?" "${{BASH_COMMAND%%$'"'\\n'"'*}}" >> {failed}' ERR
{block}
trap - ERR
export -p > {exported}
"""
_FAILED, _EXPORTED = "failed", "exported"


@dataclass(frozen=True, slots=True)
class DocumentedBlock:
    """A block and its document."""

    document: str
    block: Block

    def __str__(self) -> str:
        return f"{self.document}:{self.block.line}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a block: the status of each command that failed, and the output of all."""

    failures: dict[str, int]
    output: str

    def __str__(self) -> str:
        return f"{self.failures}\n{self.output}"


def documented_blocks(order: tuple[str, ...], *installations: str) -> list[DocumentedBlock]:
    """Return the blocks for one of these installations, document by document."""
    return [
        DocumentedBlock(name, block)
        for name in order
        for block in fenced(documents.text(name))
        if block.installations & set(installations) and not block.untested
    ]


def documents_with(*installations: str) -> set[str]:
    """Return the documents that have blocks for one of these installations."""
    return {each.document for each in documented_blocks(tuple(documents.DOCUMENTS), *installations)}


@dataclass(frozen=True, slots=True)
class ShellState:
    """The files in which the shells of consecutive blocks leave their variables and the failed commands."""

    folder: Path  # as the test sees it
    shell_folder: Path  # as the shell sees it

    def script(self, block: str, clone: str) -> str:
        """Return the script that runs a block in the clone."""
        (self.folder / _FAILED).unlink(missing_ok=True)
        paths = {name: self.shell_folder / name for name in (_FAILED, _EXPORTED)}
        return _SCRIPT.format(block=block, clone=clone, **paths)

    def outcome(self, output: str) -> Outcome:
        """Return the outcome of the last script."""
        file = self.folder / _FAILED
        failed = [line.partition(" ") for line in file.read_text().splitlines()] if file.exists() else []
        return Outcome({command: int(status) for status, _, command in failed}, output)

    def export(self, *commands: str) -> None:
        """Begin the next block with these exported variables instead of the previous ones."""
        (self.folder / _EXPORTED).write_text("\n".join(commands))
