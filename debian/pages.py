"""Write man page and shell completion, generated from the parser of the command line: `python -m debian.pages TREE`."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

from monitor import __version__
from monitor.cli import command_parser

_MAN_PAGE = "usr/share/man/man1/tigr-monitor.1.gz"
_COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/tigr-monitor",
    "zsh": "usr/share/zsh/vendor-completions/_tigr-monitor",
}
_FILES = """\
.TP
\\fI/etc/tigr\\-monitor/tigr\\-monitor.toml\\fR
The settings of the service.
.TP
\\fI/usr/share/doc/tigr\\-monitor\\fR
The documents, and an example with all settings.
"""


def man_page() -> str:
    """Return the man page. Its date is SOURCE_DATE_EPOCH."""
    parser = command_parser()
    # A paragraph of the page would join the lines of the epilog.
    epilog = (parser.epilog or "").replace("\\", "\\\\").replace("-", "\\-")
    parser.epilog = None
    description = "monitor of the TIGR Registry Client API"
    data = {"version": __version__, "description": description, "manual_title": "tigr-monitor"}
    page = Manpage(parser, data, format="single-commands-section")
    page.add_section("settings", "=", f".nf\n{epilog}.fi\n")
    page.add_section("files", "=", _FILES)
    return str(page).replace("POSITIONAL ARGUMENTS", "COMMANDS")


def main() -> int:
    """Write the files below the directory that the argument names."""
    contents = {_MAN_PAGE: gzip.compress(man_page().encode(), mtime=0)}
    for shell, name in _COMPLETIONS.items():
        contents[name] = shtab.complete(command_parser(), shell=shell).encode()
    for name, content in contents.items():
        path = Path(sys.argv[1], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
