"""HTTP proxies: which one a request goes through, and what it has to be told to let us."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # missing in its stub

from monitor import hosts
from monitor.config import urls as addresses


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """An HTTP proxy that is asked for a tunnel (CONNECT). What lets us in is in no `repr`."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)  # value of the Proxy-Authorization header

    def __str__(self) -> str:
        return f"http://{hosts.bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Ambient:
    """The proxy that the variables shared by all programs ask for, and what they except from it."""

    variable: str
    proxy: ProxySettings
    no_proxy: str

    def __str__(self) -> str:
        return f"{self.proxy}, except for {self.no_proxy}" if self.no_proxy else str(self.proxy)

    def covers(self, url: str) -> bool:
        """Whether a request to `url` goes through the proxy: it is not excepted by NO_PROXY, as urllib reads it."""
        host, port = addresses.authority(urlsplit(url).netloc, 443)
        spellings = (host, f"{hosts.bracketed(host)}:{port}")
        return not any(proxy_bypass_environment(spelling, {"no": self.no_proxy}) for spelling in spellings)


def parse(text: str) -> ProxySettings:
    """Return the proxy at `http://[user:password@]host:port`; user and password may be percent-encoded.

    The scheme may be left out, and the port is then 80, as other programs have it. Raises `ValueError` with a message
    that repeats nothing of `text`.
    """
    parts = addresses.split(text if "://" in text else f"http://{text}")
    if parts.scheme != "http":
        raise ValueError("must be an http:// proxy: https:// and socks proxies are not supported")
    login, _, place = parts.netloc.rpartition("@")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("must end with its port; a `/`, `?` or `#` in the password is written %2F, %3F or %23")
    host, port = addresses.authority(place, 80)
    return ProxySettings(host, port, _authorization(login) if login else None)


def ambient(environ: Mapping[str, str]) -> Ambient | None:
    """Return what HTTPS_PROXY (or ALL_PROXY) and NO_PROXY in `environ` ask for; None: no proxy.

    The lower-case spelling wins, also when it is empty, as everywhere. Raises `ValueError` that begins with the
    variable's name.
    """
    no_proxy = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    for upper in ("HTTPS_PROXY", "ALL_PROXY"):
        variable = upper.lower() if upper.lower() in environ else upper
        value = environ.get(variable, "")
        if value and no_proxy.strip() != "*":
            try:
                return Ambient(variable, parse(value), no_proxy)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}; TIGR_PROXY=none does without") from None
    return None


def _authorization(login: str) -> str:
    user, _, password = login.partition(":")
    user, password = unquote(user, errors="surrogateescape"), unquote(password, errors="surrogateescape")
    if ":" in user:
        raise ValueError("has a user name with a colon in it, which HTTP cannot carry")
    if any(unicodedata.category(char) == "Cc" for char in user + password):
        raise ValueError("has a control character in its user name or password")
    return "Basic " + b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()
