"""Network addresses as an operator writes them: URLs of endpoints, and the address on which the daemon listens."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from monitor.hosts import is_loopback

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
_MAX_PORT = 65535
_PORT = re.compile(r"[0-9]{1,5}")


def url(text: str) -> str:
    """Return `text` if it is a URL that may be probed: https, or plain http to a loopback address.

    Raises `ValueError` with a message that contains no part of `text`, because operators write passwords into URLs.
    """
    parts = split(text)
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password; they have settings of their own")
    if "?" in text or "#" in text:
        raise ValueError("must end with its path: no `?` and no `#`")
    host, _ = authority(parts.netloc, 443)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return parts.geturl()  # the scheme in lower case
    if parts.scheme == "http":
        raise ValueError("must begin with https://; plain http:// is for loopback addresses only")
    raise ValueError("must begin with https://")


def base_url(text: str) -> str:
    """Return `url(text)` without trailing slashes, so that a path can be appended."""
    return url(text).rstrip("/")


def link(text: str) -> str:
    """Return `text` if it is an http or https URL without a user name and a password, for a link on a page.

    Raises `ValueError` with a message that contains no part of `text`.
    """
    parts = split(text)
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password: the page shows it to every reader")
    if parts.scheme not in ("http", "https"):
        raise ValueError("must begin with https:// or http://")
    authority(parts.netloc, 443)
    return parts.geturl()


def listen(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`, `[::1]:port` or `:port`; without a host it is '', every address.

    Port 0 means a free port that the system chooses. Raises `ValueError`.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not _is_port(port) or not (host == "" or _is_host(host)):
        raise ValueError("must be host:port, such as 127.0.0.1:9844, [::1]:9844, or :9844 for every address")
    return host.strip("[]"), int(port)


def split(text: str) -> SplitResult:
    """Return the parts of the URL `text`. Raises `ValueError` with a message that contains no part of it."""
    if not text.isascii():
        raise ValueError(
            "is not a URL: it contains a character outside ASCII; percent-encode it, or in a host name write its ASCII "
            "form (xn--…)"
        )
    if not text.isprintable() or " " in text:  # urlsplit would silently drop some of these
        raise ValueError("is not a URL: it contains a character that must be percent-encoded")
    try:
        return urlsplit(text)
    except ValueError:  # its message contains the brackets' content
        raise ValueError("is not a URL: its brackets contain no IPv6 address") from None


def authority(netloc: str, default_port: int) -> tuple[str, int]:
    """Return host (without brackets) and port of `host[:port]`.

    Raises `ValueError` with a message that contains no part of `netloc`.
    """
    host, colon, port = netloc.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = netloc, str(default_port)
    if not _is_host(host):
        raise ValueError("has no valid host name")
    if not _is_port(port) or int(port) == 0:
        raise ValueError("has no valid port: it must be a number from 1 to 65535")
    return host.strip("[]"), int(port)


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= _MAX_PORT


def _is_host(text: str) -> bool:
    if text.startswith("[") and text.endswith("]"):
        try:
            return ipaddress.IPv6Address(text[1:-1]).scope_id is None
        except ValueError:
            return False
    return _NAME.fullmatch(text) is not None
