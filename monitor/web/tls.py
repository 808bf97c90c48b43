"""TLS of the web server: certificate, versions, ciphers and the verification of client certificates."""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.errors import ConfigError
from monitor.machine.files import MAX_PEM_FILE, read_regular

if TYPE_CHECKING:
    from monitor.web.config import TlsSettings

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

PeerCertificate = dict[str, Any]  # the format of `ssl.SSLSocket.getpeercert`


def server_context(path: Path, tls: TlsSettings) -> ssl.SSLContext:
    """Return the context for `tls`, which the web configuration file `path` contains. Raises `ConfigError`."""
    prefix = f"TIGR_WEB_CONFIG_FILE: {path}: tls_server_config"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    if tls.ciphers:
        context.set_ciphers(":".join(tls.ciphers))
    if not tls.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    certificate = _Pem("cert_file", tls.cert_file) if tls.cert_file else _Pem("cert", tls.cert)
    key = _Pem("key_file", tls.key_file) if tls.key_file else _Pem("key", tls.key)
    client_ca = _Pem("client_ca_file", tls.client_ca_file) if tls.client_ca_file else _Pem("client_ca", tls.client_ca)
    problems = [problem for pem in (certificate, key) if (problem := pem.why_unreadable())]
    if not problems:
        problems += _load_pair(context, certificate, key)
    if client_ca.source is not None:
        problems += _load_client_ca(context, client_ca)
    if problems:
        raise ConfigError(tuple(f"{prefix}.{why}" for why in problems))
    return context


@dataclass(frozen=True, slots=True)
class _Pem:
    """Data in PEM form: a file, or bytes of the web configuration file."""

    name: str  # the key in the web configuration file
    source: Path | bytes | None = field(repr=False)

    def __str__(self) -> str:
        """Return the path or, because the content is a secret, its description."""
        return str(self.source) if isinstance(self.source, Path) else f"the content of {self.name}"

    def why_unreadable(self) -> str:
        """Return the problem with the file; empty if there is none."""
        try:
            if isinstance(self.source, Path):
                read_regular(self.source, MAX_PEM_FILE)
        except OSError as error:
            return f"{self.name}: {self} cannot be read: {error.strerror}"
        return ""

    @contextmanager
    def path(self) -> Iterator[str]:
        """Yield the path of a file with the data. Bytes are in a file in memory, because OpenSSL reads only files."""
        if isinstance(self.source, Path):
            yield str(self.source)
            return
        with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as file:
            file.write(self.source or b"")
            yield f"/proc/self/fd/{file.fileno()}"


def _load_pair(context: ssl.SSLContext, certificate: _Pem, key: _Pem) -> list[str]:
    def no_passphrase() -> str:  # without it OpenSSL prompts on the terminal
        raise ValueError

    try:
        with certificate.path() as certificate_path, key.path() as key_path:
            context.load_cert_chain(certificate_path, key_path, password=no_passphrase)
    except ValueError:
        return [f"{key.name}: {key} is encrypted: decrypt it and restrict access to it"]
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"{key.name}: {key} is not the key of the certificate in {certificate}"]
        return [f"{certificate.name}: {certificate} and {key} must hold a certificate and its key in PEM form"]
    except OSError as error:
        return [f"{certificate.name}: {certificate} and {key} cannot be read: {error.strerror}"]
    return []


def _load_client_ca(context: ssl.SSLContext, authority: _Pem) -> list[str]:
    """Request a client certificate of this CA.

    The handshake accepts a client without one, so that the denial is a page with a readable text.
    """
    if problem := authority.why_unreadable():
        return [problem]
    try:
        with authority.path() as path:
            context.load_verify_locations(path)
    except ssl.SSLError:
        return [f"{authority.name}: {authority} holds no certificate in PEM form"]
    except OSError as error:
        return [f"{authority.name}: {authority} cannot be read: {error.strerror}"]
    context.verify_mode = ssl.CERT_OPTIONAL
    return []


def is_allowed(certificate: PeerCertificate, allowed: tuple[str, ...]) -> bool:
    """Return whether one of the subject alternative names is equal to one of `allowed`."""
    names = {
        _plain_address(value) if name_type == "IP Address" else value
        for name_type, value in certificate.get("subjectAltName", ())
    }
    return not names.isdisjoint(allowed)


def _plain_address(text: str) -> str:
    """Return an IP address in its usual form; OpenSSL writes every zero of an IPv6 address."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text
