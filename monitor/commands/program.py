"""The name of this program in messages, as the operator can type it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_NAME = "tigr-monitor"


def program() -> str:
    """Return `tigr-monitor` if the shell finds it, else its path."""
    started = Path(sys.argv[0])
    return _NAME if shutil.which(_NAME) or started.name != _NAME else str(started.absolute())
