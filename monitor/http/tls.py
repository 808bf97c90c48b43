"""TLS client contexts for probes."""

from __future__ import annotations

import ssl
from pathlib import Path


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a client context that verifies against the system's roots, and those in `ca_file` besides.

    Made once per process: loading the system's roots costs tens of milliseconds. TLS 1.2 is the least it speaks.
    Raises `OSError` (`ssl.SSLError` among them) when `ca_file` cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def unverifying_context() -> ssl.SSLContext:
    """Return a context that believes any certificate: to look at one that failed, never to send anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def has_trust_anchors(context: ssl.SSLContext) -> bool:
    """Whether there is anything that `context` could verify a certificate against."""
    if context.cert_store_stats()["x509_ca"]:
        return True
    folder = ssl.get_default_verify_paths().capath  # its files are read when a handshake asks for them
    return bool(folder) and any(Path(folder).iterdir())
