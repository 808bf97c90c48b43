"""Faults of an exchange, and the exception that carries a fault inside this package."""

from __future__ import annotations

import ssl
from enum import StrEnum

from monitor.machine.limits import HEAP_LIMIT, has_free_heap, local_limit


class ExchangeFault(StrEnum):
    """Faults that end an exchange before the meaning of its response matters."""

    TIMEOUT = "timeout"
    PROXY = "proxy"
    DNS = "dns"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    TLS = "tls"
    DISCONNECT = "disconnect"
    MALFORMED = "malformed"
    INTERNAL = "internal"  # a limit of this machine: the state of the host is unknown


class ExchangeError(Exception):
    """Ends an exchange. The HTTP client turns it into the `fault` of an `Exchange`, so it never leaves this package."""

    def __init__(self, fault: ExchangeFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


def exchange_error(fault: ExchangeFault, what: str, error: Exception) -> ExchangeError:
    """Return the `ExchangeError` for `error`, an internal fault if a limit of this machine caused it.

    Otherwise it is a `fault`, and `what` failed: the text before the message of the system. An `error` of another type
    than `OSError` and `ValueError` that no limit caused is raised.
    """
    limit = _limit(error)
    if limit is not None:
        return ExchangeError(ExchangeFault.INTERNAL, limit)
    if not isinstance(error, OSError | ValueError):
        raise error
    return ExchangeError(fault, f"{what}: {describe_os_error(error)}")


def _limit(error: Exception) -> str | None:
    if isinstance(error, ssl.SSLError):  # its errno is a code of OpenSSL
        has_failed = "malloc failure" in str(error).lower().replace("_", " ") or not has_free_heap()
        return HEAP_LIMIT if has_failed else None
    return local_limit(error)


def describe_os_error(error: OSError | ValueError) -> str:
    """Return the message of the operating system or of OpenSSL, without the numbers and file names around it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def is_tls_error(error: OSError) -> bool:
    """Return whether TLS itself failed, by an alert of the peer for example, and not the connection below it."""
    broken = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    return isinstance(error, ssl.SSLError) and not isinstance(error, broken)
