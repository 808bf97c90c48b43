"""A repository that can be released: the files that a release reads or changes, and one module."""

from __future__ import annotations

from pathlib import Path

from release.__main__ import NAMING
from tests.support.checkout import ROOT, git


def make_clone(root: Path) -> Path:
    """Create the repository with one commit in an empty directory; return its path."""
    for folder in ("docs", "kubernetes", "monitor", "requirements", "systemd"):
        (root / folder).mkdir()
    sets = [f"requirements/{name}.txt" for name in ("runtime", "demo", "build")]
    for name in ("pyproject.toml", "LICENSE", "THIRD-PARTY.txt", *NAMING, *sets, "monitor/__init__.py"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n", encoding="utf-8")
    (root / ".gitignore").write_text("dist/\n", encoding="utf-8")
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "a")
    git(root, "config", "user.email", "a@b")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "All")
    return root
