"""HTTP proxies: which requests go through a proxy, and the credentials that it requires."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined] # missing in its stub

from monitor import hosts
from monitor.config import urls


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """An HTTP proxy that opens tunnels (CONNECT). Its credentials are in no `repr`."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)  # value of the Proxy-Authorization header

    def __str__(self) -> str:
        return f"http://{hosts.bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class SharedProxy:
    """The proxy from the variables that all programs share (HTTPS_PROXY), with its exceptions (NO_PROXY)."""

    variable: str
    proxy: ProxySettings
    no_proxy: str

    def __str__(self) -> str:
        return f"{self.proxy}, except for {self.no_proxy}" if self.no_proxy else str(self.proxy)

    def applies_to(self, url: str) -> bool:
        """Return whether a request to `url` goes through the proxy: NO_PROXY, as urllib reads it, does not match it."""
        host, port = urls.authority(urlsplit(url).netloc, 443)
        names = [name for each in {host, host.removesuffix(".")} for name in (each, f"{hosts.bracketed(each)}:{port}")]
        return not any(proxy_bypass_environment(name, {"no": self.no_proxy}) for name in names)


def parse_proxy(text: str) -> ProxySettings:
    """Return the proxy at `http://[user:password@]host:port`; user and password may be percent-encoded.

    The scheme and the port are optional. The default port is 80, as in other programs. Raises `ValueError` with a
    message that contains no part of `text`.
    """
    parts = urls.split(text if "://" in text else f"http://{text}")
    if parts.scheme != "http":
        raise ValueError("must be an http:// proxy: https:// and socks proxies are not supported")
    login, _, address = parts.netloc.rpartition("@")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("must end with its port; write a `/`, `?` or `#` in the password as %2F, %3F or %23")
    host, port = urls.authority(address, 80)
    return ProxySettings(host, port, _authorization(login) if login else None)


def shared_proxy(environ: Mapping[str, str]) -> SharedProxy | None:
    """Return the proxy of HTTPS_PROXY (or ALL_PROXY) and NO_PROXY in `environ`; None if there is none.

    As in other programs, a variable in lower case takes precedence, even if it is empty. Raises `ValueError` with a
    message that begins with the variable's name.
    """
    no_proxy = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    for upper in ("HTTPS_PROXY", "ALL_PROXY"):
        variable = upper.lower() if upper.lower() in environ else upper
        value = environ.get(variable, "")
        if value and no_proxy.strip() != "*":
            try:
                return SharedProxy(variable, parse_proxy(value), no_proxy)
            except ValueError as error:
                raise ValueError(f"{variable}: {error}; to use no proxy, set TIGR_PROXY=none") from None
    return None


def _authorization(login: str) -> str:
    user, _, password = login.partition(":")
    user, password = unquote(user, errors="surrogateescape"), unquote(password, errors="surrogateescape")
    if ":" in user:
        raise ValueError("has a user name with a colon, which HTTP Basic authentication cannot carry")
    if any(unicodedata.category(char) == "Cc" for char in user + password):
        raise ValueError("has a control character in its user name or password")
    return "Basic " + b64encode(f"{user}:{password}".encode(errors="surrogateescape")).decode()
