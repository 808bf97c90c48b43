"""SHA256SUMS: the checksums of all files in dist/. `python -m release.checksums` writes it again."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

FILE = "SHA256SUMS"


def write(directory: Path) -> Path:
    """Write the checksums of all files of a directory in the form of sha256sum; return the path."""
    paths = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith(FILE))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    (directory / FILE).write_text("".join(lines), encoding="utf-8")
    return directory / FILE


def main() -> int:
    """Return 0 if the file was written, 2 if there is nothing to check."""
    directory = Path(__file__).parents[1] / "dist"
    if not directory.is_dir() or not any(directory.iterdir()):
        print("cannot write checksums: dist/ has no file; run `make release` or `make deb` first", file=sys.stderr)
        return 2
    print(write(directory).read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
