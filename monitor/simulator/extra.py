"""The packages that only the simulator needs: the extra `demo` of the project."""

from __future__ import annotations

import importlib.util

_MODULES = ("cryptography", "jwt", "trustme")


def missing_modules() -> list[str]:
    """Return the names of the modules of these packages that are not installed."""
    return [module for module in _MODULES if importlib.util.find_spec(module) is None]
