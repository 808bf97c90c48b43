"""TLS client contexts for probes."""

from __future__ import annotations

import ssl
from pathlib import Path


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a client context that verifies against the system's trust anchors and those in `ca_file`.

    It speaks TLS 1.2 or newer. Made once per process, because loading the trust anchors takes tens of milliseconds.
    Raises `OSError` (`ssl.SSLError` is a subclass) if `ca_file` cannot be read.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def unverifying_context() -> ssl.SSLContext:
    """Return a context that accepts any certificate, to read one that failed verification. Never send with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def has_trust_anchors(context: ssl.SSLContext) -> bool:
    """Return whether `context` has a trust anchor to verify a certificate with."""
    if context.cert_store_stats()["x509_ca"]:
        return True
    directory = ssl.get_default_verify_paths().capath  # OpenSSL reads its files during a handshake
    return bool(directory) and any(Path(directory).iterdir())
