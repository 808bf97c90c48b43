"""Locations of the system's trust anchors: those built into OpenSSL, or of SSL_CERT_FILE and SSL_CERT_DIR."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AnchorLocation:
    """A file or directories of trust anchors, as text, and the variable that sets it."""

    variable: str
    value: str
    is_set: bool  # by the variable; else it is built into OpenSSL


def anchor_file(environ: Mapping[str, str] = os.environ) -> AnchorLocation:
    """Return the location of the file that contains trust anchors."""
    paths = ssl.get_default_verify_paths()
    return _location(environ, paths.openssl_cafile_env, paths.openssl_cafile)


def anchor_directories(environ: Mapping[str, str] = os.environ) -> AnchorLocation:
    """Return the location of the directories that contain trust anchors, separated by colons."""
    paths = ssl.get_default_verify_paths()
    return _location(environ, paths.openssl_capath_env, paths.openssl_capath)


def paths(location: AnchorLocation) -> list[Path]:
    """Return the paths of a location. An empty value has none."""
    return [Path(path) for path in location.value.split(os.pathsep) if path]


def _location(environ: Mapping[str, str], variable: str, built_in: str) -> AnchorLocation:
    return AnchorLocation(variable, environ.get(variable, built_in), variable in environ)
