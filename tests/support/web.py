"""Helpers for tests of the web server: pages, certificates, a server with access control, and a client."""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import ipaddress
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from monitor.hosts import reachable_address
from monitor.web.access import AccessControl
from monitor.web.server import WebServer
from tests.support.overviews import FakeReports

# bcrypt hashes of "open sesame": with the lowest cost, and with a cost that takes noticeable time.
SESAME = "$2b$04$ZegiMCF2t/4TwIQEsTege.dkxwtqebRkJYERMfA4EcECaTy2HjnjG"
SLOW_SESAME = "$2b$10$is5pU4wSn348Ula4E.K2Ue2mMedsnC5o/gs195uXuQwYZI/hqITi2"


class FakePages:
    """FakePages whose content a test sets."""

    def __init__(self) -> None:
        self.renderings = 0
        self.body = b"up 1\n"
        self.stalled_jobs: list[str] = []
        self.not_tried: list[str] = []
        self.fault: Exception | None = None
        self.reports = FakeReports()

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return the Accept header and the body, or raise `fault`."""
        self.renderings += 1
        if self.fault is not None:
            raise self.fault
        return f"text/plain; asked={accept or 'nothing'}", self.body

    def stalled(self) -> list[str]:
        """Return the stalled jobs."""
        return self.stalled_jobs

    def waiting(self) -> list[str]:
        """Return the environments that have not attempted a login."""
        return self.not_tried

    def index(self) -> list[str]:
        """Return two names, one with markup."""
        return ["prod", "<uat>"]


class Authority:
    """A certificate authority, with files in a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self._signed(self._name, self._key, None, []).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *sans: str, passphrase: str = "") -> tuple[Path, Path]:
        """Return the files of a certificate for servers and clients and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = []
        for san in sans:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(san)))
            except ValueError:
                names.append(x509.RFC822Name(san) if "@" in san else x509.DNSName(san))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, self._key, names)
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        cert_file, key_file = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return cert_file, key_file

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer_key: ec.EllipticCurvePrivateKey | None,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        is_authority = issuer_key is None
        builder = x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if not is_authority:
            uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        else:
            usage = x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(issuer_key or key, hashes.SHA256())


def settle(*files: Path) -> None:
    """Set the modification times of files to different times about a minute ago."""
    for number, file in enumerate(files):
        os.utime(file, (time.time() - 60 - number, time.time() - 60 - number))


def write(path: Path, text: str) -> Path:
    """Write a file whose modification time is a minute ago."""
    path.write_text(text)
    settle(path)
    return path


@contextmanager
def serving(pages: FakePages, config: Path | None = None, host: str = "127.0.0.1") -> Iterator[WebServer]:
    """Yield a running server on a free port, with an optional web configuration."""
    server = WebServer(host, 0, pages, None if config is None else AccessControl(config))
    server.start()
    try:
        yield server
    finally:
        server.stop()


class WebClient:
    """Sends requests to a server, each on a new connection."""

    def __init__(
        self,
        server: WebServer,
        ca_file: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
        *,
        address: str = "127.0.0.1",
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.context = context or (ssl.create_default_context(cafile=ca_file) if ca_file else None)
        if certificate is not None and self.context is not None:
            self.context.load_cert_chain(*certificate)
        self._port = server.port
        self._source = (address, 0)

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection that is not open yet."""
        if self.context is None:
            return http.client.HTTPConnection("127.0.0.1", self._port, timeout=60, source_address=self._source)
        return http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=60, context=self.context, source_address=self._source
        )

    def request(
        self, path: str = "/metrics", headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send a request; return the response and its body."""
        connection = self.connect()
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def status(self, path: str = "/metrics", headers: Mapping[str, str] | None = None) -> int:
        """Send a request; return the status of the response."""
        return self.request(path, headers)[0].status


def health(host: str, port: int) -> tuple[bool, str]:
    """Return whether the monitor at this address is healthy, and its response or the error as text."""
    connection = http.client.HTTPConnection(reachable_address(host), port, timeout=60)
    try:
        connection.request("GET", "/-/healthy")
        response = connection.getresponse()
        return response.status == http.client.OK, response.read().decode().strip()
    except OSError as error:
        return False, str(error)
    finally:
        connection.close()


def basic(name: str, password: str | bytes) -> dict[str, str]:
    """Return the Authorization header for a name and a password."""
    secret = password.encode() if isinstance(password, str) else password
    return {"Authorization": "Basic " + base64.b64encode(name.encode() + b":" + secret).decode()}
