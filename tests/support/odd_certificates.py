"""Certificates that companies use and public CAs do not issue: each case has a server's chain, a CA file and a host.

Keys are elliptic (P-256), because generating one takes a millisecond.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "host.test"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)

Extension = tuple[x509.ExtensionType, bool]  # and whether it is critical


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, password: bytes | None = None) -> bytes:
        """Return the private key in PEM, encrypted if there is a password."""
        encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@dataclass(frozen=True)
class Case:
    """A chain that a server presents, the CA file of its client, and the verdict that is expected."""

    name: str
    chain: str  # path of a PEM file with the server's key, its certificate and intermediates
    ca_file: str
    host: str
    accepted: bool
    curl: bool  # accepted by curl


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new elliptic key."""
    return ec.generate_private_key(ec.SECP256R1())


def issue(
    common_name: str,
    issuer: Pair | None,
    extensions: Iterable[Extension] = (),
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    begin: dt.datetime = NOW - 30 * DAY,
    end: dt.datetime = NOW + 90 * DAY,
) -> Pair:
    """Return a certificate of `issuer`, or a self-signed one."""
    key = key or new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(
        issuer.certificate.subject if issuer else name, name, key.public_key(), x509.random_serial_number(), begin, end
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def ca_extensions(
    *, critical: bool = True, key_usage: bool = True, length: int | None = None, ca: bool = True
) -> list[Extension]:
    """Return the extensions of a CA without key identifiers."""
    extensions: list[Extension] = [(x509.BasicConstraints(ca=ca, path_length=length if ca else None), critical)]
    return [*extensions, (_usage(signs_certificates=True), True)] if key_usage else extensions


def names(*texts: str) -> list[Extension]:
    """Return the extensions of a server's certificate for these names and addresses."""
    return [(_alternative_names(texts), False), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]


def _alternative_names(texts: Sequence[str]) -> x509.SubjectAlternativeName:
    general_names: list[x509.GeneralName] = []
    for text in texts:
        try:
            general_names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            general_names.append(x509.DNSName(text))
    return x509.SubjectAlternativeName(general_names)


def _usage(*, signs_certificates: bool = False, encrypts: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=encrypts,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


class Table:
    """Writes the files of cases into a directory."""

    def __init__(self, directory: Path) -> None:
        self.cases: list[Case] = []
        self._directory = directory

    def add(
        self,
        name: str,
        chain: Sequence[Pair],
        anchors: Sequence[Pair],
        *,
        accepted: bool,
        host: str = HOST,
        curl: bool | None = None,
    ) -> None:
        """Add a case: the chain begins with the server's own certificate."""
        number = len(self.cases)
        served, trusted = self._directory / f"{number}-chain.pem", self._directory / f"{number}-ca.pem"
        served.write_bytes(chain[0].key_pem() + b"".join(pair.pem for pair in chain))
        trusted.write_bytes(b"".join(pair.pem for pair in anchors))
        self.cases.append(Case(name, str(served), str(trusted), host, accepted, accepted if curl is None else curl))


def write_cases(directory: Path) -> list[Case]:
    """Write every case into `directory`."""
    table = Table(directory)
    _add_authorities(table)
    _add_paths(table)
    _add_names(table)
    _add_leaves(table)
    return table.cases


def _add_authorities(table: Table) -> None:
    """Add CA certificates with unusual extensions."""
    key = new_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    wrong = x509.AuthorityKeyIdentifier.from_issuer_public_key(new_key().public_key())
    variants: dict[str, tuple[list[Extension], bool]] = {
        "complete": ([*ca_extensions(), (identifier, False), (authority_identifier, False)], True),
        "without AKI": ([*ca_extensions(), (identifier, False)], True),
        "without SKI": ([*ca_extensions(), (authority_identifier, False)], True),
        "without AKI and SKI": (ca_extensions(), True),
        "without keyUsage": ([*ca_extensions(key_usage=False), (identifier, False)], True),
        "with non-critical basicConstraints": ([*ca_extensions(critical=False), (identifier, False)], True),
        "with nothing but non-critical basicConstraints": (ca_extensions(critical=False, key_usage=False), True),
        "without extensions (X.509 v3)": ([], False),
        "with a critical SKI": ([*ca_extensions(), (identifier, True)], False),
        "with the AKI of another key": ([*ca_extensions(), (identifier, False), (wrong, False)], True),
        "with CA:FALSE": (ca_extensions(ca=False), False),
        "that may not sign certificates": ([*ca_extensions(key_usage=False), (_usage(encrypts=True), True)], False),
        "with an EKU of clients only": (
            [*ca_extensions(), (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)],
            False,
        ),
    }
    for name, (extensions, accepted) in variants.items():
        root = issue("root", None, extensions, key=key)
        table.add(f"root {name}", [issue(HOST, root, names(HOST))], [root], accepted=accepted)
        middle = issue("issuing", root, extensions, key=new_key())
        good = issue("root", None, ca_extensions(), key=key)
        chain = [issue(HOST, middle, names(HOST)), middle]
        table.add(f"intermediate {name}", chain, [good], accepted=accepted)
    short = issue("short", None, ca_extensions(length=0))
    below = issue("below", short, ca_extensions())
    table.add("path length exceeded", [issue(HOST, below, names(HOST)), below], [short], accepted=False)


def _add_paths(table: Table) -> None:
    """Add chains that are incomplete, crossed, or end below the root."""
    root = issue("root", None, ca_extensions())
    issuing = issue("issuing", root, ca_extensions(length=0))
    leaf = issue(HOST, issuing, names(HOST))
    stranger = issue("stranger", None, ca_extensions())
    table.add("complete chain", [leaf, issuing], [root], accepted=True)
    table.add("root sent too", [leaf, issuing, root], [root], accepted=True)
    table.add("unrelated certificate sent too", [leaf, stranger, issuing], [root], accepted=True)
    table.add("CA file with the issuing CA only", [leaf, issuing], [issuing], accepted=True)
    table.add("CA file with the issuing CA only, which is not sent", [leaf], [issuing], accepted=True)
    table.add("intermediate missing", [leaf], [root], accepted=False)
    table.add("intermediate in the CA file", [leaf], [root, issuing], accepted=True)
    table.add("another CA", [leaf, issuing], [stranger], accepted=False)
    table.add("leaf in the CA file", [leaf], [leaf], accepted=True)

    old_root = issue("root", None, ca_extensions(), key=root.key, end=NOW - DAY)
    new_root = issue("new root", None, ca_extensions())
    cross = issue("root", new_root, ca_extensions(), key=root.key)
    table.add("expired root", [leaf, issuing], [old_root], accepted=False)
    table.add("expired and renewed root", [leaf, issuing], [old_root, root], accepted=True)
    table.add("cross-signed root", [leaf, issuing, cross], [new_root], accepted=True)
    table.add("expired root and cross-sign", [leaf, issuing, cross], [old_root, new_root], accepted=False)
    table.add("cross-sign in the CA file", [leaf, issuing], [old_root, cross, new_root], accepted=True)
    table.add("expired root sent, valid root trusted", [leaf, issuing, old_root], [root], accepted=True)
    expired = issue("issuing", root, ca_extensions(), key=issuing.key, end=NOW - DAY)
    table.add("expired intermediate", [leaf, expired], [root], accepted=False)

    inside = x509.NameConstraints(permitted_subtrees=[x509.DNSName("test")], excluded_subtrees=None)
    outside = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example")], excluded_subtrees=None)
    excluded = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[x509.DNSName(HOST)])
    for name, constraint, accepted in (
        ("name constraint permits", inside, True),
        ("name constraint does not permit", outside, False),
        ("name constraint excludes", excluded, False),
    ):
        limited = issue("limited", root, [*ca_extensions(), (constraint, True)])
        table.add(name, [issue(HOST, limited, names(HOST)), limited], [root], accepted=accepted)


def _add_names(table: Table) -> None:
    """Add leaves with unusual names."""
    root = issue("root", None, ca_extensions())

    def add(name: str, host: str, *in_certificate: str, accepted: bool) -> None:
        table.add(name, [issue("other", root, names(*in_certificate))], [root], host=host, accepted=accepted)

    add("wildcard", "a.host.test", "*.host.test", accepted=True)
    add("wildcard of the name itself", HOST, "*.host.test", accepted=False)
    add("wildcard two levels above", "a.b.host.test", "*.host.test", accepted=False)
    add("partial wildcard", "abc.host.test", "a*.host.test", accepted=False)
    add("wildcard inside", "a.b.test", "a.*.test", accepted=False)
    add("IPv4 address", "127.0.0.1", "127.0.0.1", accepted=True)
    add("another IPv4 address", "127.0.0.1", "127.0.0.2", accepted=False)
    add("upper case", HOST, "HOST.TEST", accepted=True)
    add("second name", HOST, "other.test", HOST, accepted=True)
    add("other name only", HOST, "other.test", accepted=False)
    add("underscore", "a_b.test", "a_b.test", accepted=True)
    table.add("CN without SAN", [issue(HOST, root)], [root], accepted=False, curl=True)
    table.add("CN with the SAN of another name", [issue(HOST, root, names("other.test"))], [root], accepted=False)
    address = [(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), False)]
    table.add("address as a DNS name", [issue("x", root, address)], [root], host="127.0.0.1", accepted=False)
    only_address = issue(HOST, root, names("127.0.0.1"))
    table.add("CN with the SAN of an address", [only_address], [root], accepted=False)


def _add_leaves(table: Table) -> None:
    """Add leaves with unusual purposes and dates."""
    root = issue("root", None, ca_extensions())
    san = (_alternative_names([HOST]), False)

    def purpose(*usages: x509.ObjectIdentifier) -> list[Extension]:
        return [san, (x509.ExtendedKeyUsage(usages), False)]

    both = purpose(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    for name, extensions, accepted in (
        ("without EKU", [san], True),
        ("EKU of clients only", purpose(ExtendedKeyUsageOID.CLIENT_AUTH), False),
        ("EKU of both", both, True),
        ("EKU of any purpose only", purpose(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), False),
        ("critical SAN", [(san[0], True)], True),
        ("CA as a leaf", [san, *ca_extensions(key_usage=False)], True),
        ("keyUsage of a CA", [san, *ca_extensions()], False),
        ("unknown critical extension", [san, (x509.UnrecognizedExtension(_UNKNOWN, b"\x05\x00"), True)], False),
        ("unknown extension", [san, (x509.UnrecognizedExtension(_UNKNOWN, b"\x05\x00"), False)], True),
    ):
        table.add(f"leaf {name}", [issue(HOST, root, extensions)], [root], accepted=accepted)
    expired = issue(HOST, root, names(HOST), end=NOW - DAY)
    table.add("leaf expired", [expired], [root], accepted=False)
    table.add("leaf expired and in the CA file", [expired], [expired], accepted=False)
    early = issue(HOST, root, names(HOST), begin=NOW + DAY)
    table.add("leaf not yet valid", [early], [root], accepted=False)
    selfsigned = issue(HOST, None, [*names(HOST), *ca_extensions(ca=False, key_usage=False)])
    table.add("self-signed leaf in the CA file", [selfsigned], [selfsigned], accepted=True)
    table.add("self-signed leaf", [selfsigned], [root], accepted=False)
    bare = issue(HOST, None, names(HOST))
    table.add("self-signed leaf without basicConstraints in the CA file", [bare], [bare], accepted=True)


_UNKNOWN = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
