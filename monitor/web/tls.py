"""TLS of the web server: certificate, versions, ciphers and the verification of client certificates."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError
from monitor.files import MAX_PEM_FILE, read_regular
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
    problems = []
    for name, file in (("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        try:
            read_regular(file, MAX_PEM_FILE)  # OpenSSL would wait for the writer of a named pipe
        except OSError as error:
            problems.append(f"{prefix}.{name}: {file} cannot be read: {error.strerror}")
    if not problems:
        problems += [f"{prefix}.{why}" for why in _load_pair(context, tls)]
    if tls.client_ca_file is not None:
        problems += [f"{prefix}.client_ca_file: {why}" for why in _load_client_ca(context, tls.client_ca_file)]
    if problems:
        raise ConfigError(tuple(problems))
    return context


def _load_pair(context: ssl.SSLContext, tls: TlsSettings) -> list[str]:
    def no_passphrase() -> str:  # without it OpenSSL prompts on the terminal
        raise ValueError

    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=no_passphrase)
    except ValueError:
        return [f"key_file: {tls.key_file} is encrypted: decrypt it and restrict access to it"]
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"key_file: {tls.key_file} is not the key of the certificate in {tls.cert_file}"]
        return [f"cert_file: {tls.cert_file} and {tls.key_file} must hold a certificate and its key in PEM form"]
    return []


def _load_client_ca(context: ssl.SSLContext, file: Path) -> list[str]:
    """Request a client certificate of this CA.

    The handshake accepts a client without one, so that the denial is a page with a readable text.
    """
    try:
        read_regular(file, MAX_PEM_FILE)
        context.load_verify_locations(file)
    except ssl.SSLError:
        return [f"{file} holds no certificate in PEM form"]
    except OSError as error:
        return [f"{file} cannot be read: {error.strerror}"]
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
