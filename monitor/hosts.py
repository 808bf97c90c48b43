"""Host names and addresses: hosts of URLs, loopback, the network of a client, the address of a listener, brackets."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """Return host and port of a URL, as the URL names them."""
    return urlsplit(url).netloc


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme, and host and port, of a URL. If they change, its requests go to another host."""
    return urlsplit(url)[:2]


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address or `localhost`. No name is looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


def client_network(address: str) -> str:
    """Return the network that one client controls: an IPv4 address, or the /64 of an IPv6 address.

    A host has 2**64 addresses of its own network in IPv6 (RFC 4291 section 2.5.4), so single ones identify no client.
    An IPv4 address that a dual-stack socket maps to IPv6 is returned as IPv4. Loopback addresses are unchanged.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or (parsed.is_loopback and parsed.ipv4_mapped is None):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def reachable_address(host: str) -> str:
    """Return the address at which a local client reaches a server that listens on `host`."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def bracketed(host: str) -> str:
    """Return `host` in the form before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
