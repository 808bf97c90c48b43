"""Trust anchors of the system, read completely, so that no handshake opens a file.

OpenSSL itself reads a certificate of a directory when a handshake needs it. A handshake that cannot open the file, for
want of file descriptors, would then blame the certificate of the server.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.anchors import anchor_directories, anchor_file, paths
from monitor.files import MAX_PEM_FILE, read_regular
from monitor.limits import local_limit

_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # the names by which OpenSSL finds a certificate in a directory


def load_system_anchors(context: ssl.SSLContext) -> None:
    """Add the trust anchors of the system to `context`, from the same files from which OpenSSL would read them.

    A file that is missing, unreadable or not in PEM format contributes none, as in OpenSSL. Raises `OSError` if the
    process or the system is out of file descriptors or memory: a context without anchors would be a wrong one.
    """
    read = b""
    for path in _files():
        with _skipped_if_unusable():
            content = read_regular(path, MAX_PEM_FILE)
            if content not in read:  # on Debian, the file contains the certificates of the directory: saves 30 ms
                context.load_verify_locations(cafile=path)
                read += content


def _files() -> list[Path]:
    files = paths(anchor_file())[:1]
    for directory in paths(anchor_directories()):
        with _skipped_if_unusable():
            files += sorted(entry for entry in directory.iterdir() if _HASHED_NAME.fullmatch(entry.name))
    return files


@contextmanager
def _skipped_if_unusable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not isinstance(error, ssl.SSLError) and local_limit(error) is not None:  # the errno of SSLError is another
            raise
