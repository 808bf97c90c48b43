"""The simulator's own certificate authority, and the certificates its hosts show: good ones and bad ones.

Keys are elliptic (P-256): making one takes a millisecond, where RSA takes a tenth of a second or more.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.simulator.faults import CertificateVariant, TlsVersion

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class CertificateStore:
    """One authority and a certificate of each kind, as files in a directory that the caller owns and removes."""

    def __init__(self, directory: Path) -> None:
        now = dt.datetime.now(dt.UTC)
        authority = _authority("tigr-monitor simulator CA", now)
        stranger = _authority("a CA that nobody trusts", now)
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
        leaves = {
            CertificateVariant.GOOD: _leaf(authority, now, days=90),
            CertificateVariant.EXPIRED: _leaf(authority, now - 30 * _DAY, days=29),
            CertificateVariant.NOT_YET_VALID: _leaf(authority, now + 2 * _DAY, days=90),
            CertificateVariant.WRONG_HOST: _leaf(authority, now, days=90, local=False),
            CertificateVariant.SELF_SIGNED: _leaf(None, now, days=90),
            CertificateVariant.UNKNOWN_CA: _leaf(stranger, now, days=90),
        }
        self.not_after = {kind: leaf.certificate.not_valid_after_utc.timestamp() for kind, leaf in leaves.items()}
        """When each certificate expires, in Unix seconds."""
        self._files = {kind: _written(leaf, directory / f"{kind}.pem") for kind, leaf in leaves.items()}
        self._contexts = {kind: self._context(kind) for kind in leaves}
        self._capped = {version: self._context(CertificateVariant.GOOD) for version in TlsVersion}
        self._capped[TlsVersion.TLS_1_2].maximum_version = ssl.TLSVersion.TLSv1_2
        old = self._capped[TlsVersion.TLS_1_0]
        with warnings.catch_warnings():  # Python warns of TLS 1.0: rightly, and here it is what is wanted
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")

    def context(self, kind: CertificateVariant = CertificateVariant.GOOD) -> ssl.SSLContext:
        """What a host needs to speak TLS with that certificate."""
        return self._contexts[kind]

    def capped_context(self, version: TlsVersion) -> ssl.SSLContext:
        """What a host needs to speak no newer TLS than that."""
        return self._capped[version]

    def _context(self, kind: CertificateVariant) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._files[kind])
        return context


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _authority(name: str, now: dt.datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(name), _name(name), key, key, now - 60 * _DAY, days=365)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
    return _Pair(builder.sign(key, hashes.SHA256()), key)


def _leaf(issuer: _Pair | None, begin: dt.datetime, *, days: int, local: bool = True) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    host = "localhost" if local else "elsewhere.test"
    issuer_name = issuer.certificate.subject if issuer else _name(host)
    issuer_key = issuer.key if issuer else key
    names: list[x509.GeneralName] = [x509.DNSName(host)]
    if local:
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    builder = _builder(_name(host), issuer_name, key, issuer_key, begin - _DAY, days=days + 1)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return _Pair(builder.sign(issuer_key, hashes.SHA256()), key)


def _builder(  # noqa: PLR0913 - what every certificate consists of
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    begin: dt.datetime,
    *,
    days: int,
) -> x509.CertificateBuilder:
    # Both identifiers must be there: Python 3.13 verifies strictly (RFC 5280 section 4.2.1) by default.
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + days * _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _written(pair: _Pair, path: Path) -> Path:
    key = pair.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(key + pair.certificate.public_bytes(serialization.Encoding.PEM))
    return path
