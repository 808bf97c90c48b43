"""TLS client contexts for probes.

Each option that affects the verdict on a certificate is set here, because Python's defaults depend on its version. The
verdict is the same on every version, and that of curl, except that a subject's CN never replaces a missing SAN.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Protocol

from monitor.http.trust_anchors import load_system_anchors

# No X509_STRICT, a default from Python 3.13 on: it refuses CA certificates of many companies, such as those without a
# key identifier. With PARTIAL_CHAIN, a chain may end at any certificate that is trusted, not only at a root.
_VERIFY_FLAGS = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
_ENCODING_DER = 2  # _ssl.ENCODING_DER
_CIPHERS = "DEFAULT:@SECLEVEL=2"  # of OpenSSL; level 2 refuses RSA keys below 2,048 bits and signatures with SHA-1


class ClientCertificate(Protocol):
    """A certificate that the client presents if the server asks for one."""

    @property
    def certificate(self) -> Path: ...
    @property
    def key(self) -> Path: ...
    @property
    def password(self) -> str | None:
        """Return the password of the key, or None if the key is not encrypted."""


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return a client context that verifies against the system's trust anchors and those in `ca_file`.

    It speaks TLS 1.2 or newer. Raises `OSError` (`ssl.SSLError` is a subclass) if `ca_file` cannot be read.
    """
    context = system_context()
    if ca_file is not None:
        add_trust_anchors(context, ca_file)
    return context


def add_trust_anchors(context: ssl.SSLContext, ca_file: Path) -> None:
    """Let a context verify against the certificates in a file too.

    Raises `OSError` (`ssl.SSLError` is a subclass) if the file cannot be read.
    """
    context.load_verify_locations(cafile=ca_file)


def system_context() -> ssl.SSLContext:
    """Return a client context that verifies against the system's trust anchors.

    Made once per settings, because loading the trust anchors takes tens of milliseconds and megabytes.
    """
    context = _context()
    context.verify_flags = _VERIFY_FLAGS
    context.hostname_checks_common_name = False
    load_system_anchors(context)
    return context


def present(context: ssl.SSLContext, pair: ClientCertificate) -> None:
    """Let `context` present a client certificate to servers that ask for one, after it has verified theirs.

    Raises `OSError` or `ValueError` if certificate and key cannot be used.
    """
    password = pair.password or ""
    context.load_cert_chain(pair.certificate, pair.key, lambda: password)  # without a function, OpenSSL prompts
    context.post_handshake_auth = True  # a server of TLS 1.3 may ask after it has read the request


def unverifying_context() -> ssl.SSLContext:
    """Return a context that accepts any certificate, to read one that failed verification.

    Never send with it. It presents no client certificate.
    """
    context = _context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the certificate may have failed because of its key
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def has_trust_anchors(context: ssl.SSLContext) -> bool:
    """Return whether `context` has a trust anchor to verify a certificate with."""
    return context.cert_store_stats()["x509"] > 0


def _context() -> ssl.SSLContext:
    """Return a client context. Unlike `ssl.create_default_context`, it does not honour SSLKEYLOGFILE."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    return context


def verified_chain(connection: ssl.SSLSocket | ssl.SSLObject) -> list[bytes]:
    """Return the chain that was verified, from the host's certificate to the trust anchor, in DER form.

    Before Python 3.13 only the object below the socket has it. The list is empty if this Python exposes no chain.
    Raises `ValueError` if the handshake is not complete.
    """
    source: Any = connection if hasattr(connection, "get_verified_chain") else getattr(connection, "_sslobj", None)
    if not hasattr(source, "get_verified_chain"):
        return []
    chain = source.get_verified_chain()
    return [each if isinstance(each, bytes) else each.public_bytes(_ENCODING_DER) for each in chain]
