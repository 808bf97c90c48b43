"""The web server's side of TLS: its certificate, its versions and ciphers, and whose certificates it takes."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import Any

from monitor.errors import ConfigError
from monitor.web.config import TlsSettings

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}

PeerCertificate = dict[str, Any]  # as `ssl.SSLSocket.getpeercert` returns it


def server_context(path: Path, tls: TlsSettings) -> ssl.SSLContext:
    """Return the context that `tls`, in the web configuration file `path`, asks for. Raises `ConfigError`."""
    where = f"TIGR_WEB_CONFIG_FILE: {path}: tls_server_config"
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
            file.open("rb").close()
        except OSError as error:
            problems.append(f"{where}.{name}: {file} cannot be read: {error.strerror}")
    if not problems:
        problems += [f"{where}.{why}" for why in _load_pair(context, tls)]
    if tls.client_ca_file is not None:
        problems += [f"{where}.client_ca_file: {why}" for why in _load_authority(context, tls.client_ca_file)]
    if problems:
        raise ConfigError(tuple(problems))
    return context


def _load_pair(context: ssl.SSLContext, tls: TlsSettings) -> list[str]:
    def no_passphrase() -> str:  # or OpenSSL asks the terminal
        raise ValueError

    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=no_passphrase)
    except ValueError:
        return [f"key_file: {tls.key_file} is encrypted: decrypt it, and let nobody else read it"]
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"key_file: {tls.key_file} is not the key of the certificate in {tls.cert_file}"]
        return [f"cert_file: {tls.cert_file} and {tls.key_file} must hold a certificate and its key in PEM form"]
    return []


def _load_authority(context: ssl.SSLContext, file: Path) -> list[str]:
    """Ask clients for a certificate of that authority; who has none is turned away with a page that says so."""
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        return [f"{file} holds no certificate in PEM form"]
    except OSError as error:
        return [f"{file} cannot be read: {error.strerror}"]
    context.verify_mode = ssl.CERT_OPTIONAL
    return []


def is_allowed(certificate: PeerCertificate, allowed: tuple[str, ...]) -> bool:
    """Whether one of the subject's alternative names is among `allowed`, to the letter."""
    names = {
        _plain_address(value) if kind == "IP Address" else value
        for kind, value in certificate.get("subjectAltName", ())
    }
    return not names.isdisjoint(allowed)


def _plain_address(text: str) -> str:
    """Return an address as people write it; OpenSSL writes every zero of an IPv6 one."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text
