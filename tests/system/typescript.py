"""Check of values against published TypeScript types, which npm installs in the versions of a lock file."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_TIMEOUT = 100  # seconds


@dataclass(frozen=True, slots=True)
class TypeChecker:
    """The compiler and the types in a directory, whose tsconfig.json names one file to compile."""

    directory: Path
    file: str

    def errors(self, source: str) -> list[str]:
        """Return the errors of the compiler for this source text."""
        (self.directory / self.file).write_text(source, encoding="utf-8")
        command = ["node", "node_modules/typescript/bin/tsc", "--project", "."]
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
        assert done.returncode in (0, 2), done.stdout + done.stderr
        assert (done.returncode == 0) == (done.stdout == ""), done.stdout
        return done.stdout.splitlines()


def install(schema: Path, directory: Path, file: str) -> TypeChecker:
    """Install what the lock file of `schema` names into a directory; skip the test if npm cannot."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    for path in schema.iterdir():
        shutil.copy(path, directory)
    command = ["npm", "ci", "--ignore-scripts", "--omit=peer", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install the types of {schema}: {done.stderr.strip()}")
    return TypeChecker(directory, file)
