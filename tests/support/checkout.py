"""The checkout of these tests: its tracked files, and copies of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def git(root: Path, *arguments: str) -> str:
    """Run git; return its standard output."""
    author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "safe.directory=*", "-c", "commit.gpgsign=false"]
    command = ["git", *author, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def tracked(*folders: str) -> set[str]:
    """Return the files below these folders that git tracks or would add."""
    names = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders).splitlines()
    return {name for name in names if (ROOT / name).exists()}


def copy_to(clone: Path) -> None:
    """Copy the tracked files to `clone`."""
    for name in tracked("."):
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
