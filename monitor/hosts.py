"""Host names and addresses: loopback, the local address of a listener, brackets before a port."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host` is a loopback address or `localhost`. No name is looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


def reachable_address(host: str) -> str:
    """Return the address at which a local client reaches a server that listens on `host`."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def bracketed(host: str) -> str:
    """Return `host` in the form before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
