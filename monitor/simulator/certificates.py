"""The simulator's certificate authority, and the certificates that its hosts present: a valid one and invalid ones.

Keys are elliptic (P-256): generating one takes a millisecond, and an RSA key takes a tenth of a second or more.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import warnings
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.simulator.faults import CertificateVariant, TlsVersion

_DAY = dt.timedelta(days=1)
_HOST, _ADDRESSES = "localhost", ("127.0.0.1", "::1")


class CertificateStore:
    """One authority and one certificate of each variant, as files in a directory that the caller owns."""

    def __init__(self, directory: Path) -> None:
        """Generate the keys and certificates, and write them."""
        authority = trustme.CA(organization_name="tigr-monitor", organization_unit_name="simulator CA", path_length=0)
        self.ca_file = directory / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        chains = _chains(authority, dt.datetime.now(dt.UTC))
        self.not_after = {variant: _expiry(chain) for variant, chain in chains.items()}
        """The expiry of each certificate, in Unix seconds."""
        self._files = {variant: _write(chain, directory / f"{variant}.pem") for variant, chain in chains.items()}
        self._contexts = {variant: self._context(variant) for variant in chains}
        self._capped = {version: self._context(CertificateVariant.GOOD) for version in TlsVersion}
        self._capped[TlsVersion.TLS_1_2].maximum_version = ssl.TLSVersion.TLSv1_2
        _allow_only_tls_1_0(self._capped[TlsVersion.TLS_1_0])

    def context(self, variant: CertificateVariant = CertificateVariant.GOOD) -> ssl.SSLContext:
        """Return the TLS server context with the certificate of this variant."""
        return self._contexts[variant]

    def capped_context(self, version: TlsVersion) -> ssl.SSLContext:
        """Return the TLS server context that supports no newer version than this one."""
        return self._capped[version]

    def _context(self, variant: CertificateVariant) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._files[variant])
        return context


def _chains(authority: trustme.CA, now: dt.datetime) -> dict[CertificateVariant, bytes]:
    """Return the private key and the certificate of each variant, in PEM."""
    untrusted = trustme.CA(organization_name="tigr-monitor", organization_unit_name="untrusted CA", path_length=0)
    until = now + 90 * _DAY
    return {
        CertificateVariant.GOOD: _issued(authority, now - _DAY, until),
        CertificateVariant.EXPIRED: _issued(authority, now - 31 * _DAY, now - _DAY),
        CertificateVariant.NOT_YET_VALID: _issued(authority, now + _DAY, until),
        CertificateVariant.WRONG_HOST: _issued(authority, now - _DAY, until, names=("elsewhere.test",)),
        CertificateVariant.SELF_SIGNED: _self_signed(now - _DAY, until),
        CertificateVariant.UNKNOWN_CA: _issued(untrusted, now - _DAY, until),
    }


def _issued(
    authority: trustme.CA, begin: dt.datetime, end: dt.datetime, names: tuple[str, ...] = (_HOST, *_ADDRESSES)
) -> bytes:
    leaf = authority.issue_cert(*names, common_name=names[0], not_before=begin, not_after=end)
    return leaf.private_key_and_cert_chain_pem.bytes()


def _self_signed(begin: dt.datetime, end: dt.datetime) -> bytes:
    """Return a key and a certificate that it signed itself, in PEM. trustme issues certificates from a CA only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _HOST)])
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_HOST), *addresses]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem + certificate.public_bytes(serialization.Encoding.PEM)


def _expiry(chain: bytes) -> float:
    return x509.load_pem_x509_certificate(chain).not_valid_after_utc.timestamp()


def _write(chain: bytes, path: Path) -> Path:
    path.write_bytes(chain)
    return path


def _allow_only_tls_1_0(context: ssl.SSLContext) -> None:
    with warnings.catch_warnings():  # Python warns of TLS 1.0, which is the fault to inject
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
