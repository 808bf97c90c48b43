"""Faults of an exchange, and the exception that carries one inside the package."""

from __future__ import annotations

import ssl
from enum import StrEnum


class ExchangeFault(StrEnum):
    """How an exchange can fail below the meaning of its answer."""

    TIMEOUT = "timeout"
    PROXY = "proxy"
    DNS = "dns"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    TLS = "tls"
    DISCONNECT = "disconnect"
    MALFORMED = "malformed"


class ExchangeError(Exception):
    """Ends an exchange; leaves this module as the `fault` of an `Exchange`."""

    def __init__(self, fault: ExchangeFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


def describe_os_error(error: OSError | ValueError) -> str:
    """Say what the operating system or OpenSSL said, without the numbers and file names around it."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return (getattr(error, "strerror", None) or type(error).__name__).lower()
