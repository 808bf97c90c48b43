"""Client certificates: the files of an environment, and the check that certificate and key belong together."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path

from monitor.machine.files import MAX_PEM_FILE, read_regular

FIELDS = ("client_cert", "client_key", "client_key_password")  # of the schema
_MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")  # the last one: another algorithm


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate with its key, as files in PEM format. The password is in no `repr`."""

    certificate: Path  # may also contain intermediates, and the key
    key: Path
    password: str | None = field(default=None, repr=False)  # of the key, if it is encrypted
    digest: str = field(default="", repr=False)  # of both files: a renewed certificate is not equal to the old one


def with_digest(pair: ClientCertificate) -> ClientCertificate:
    """Return `pair` with the digest of its files; without one if a file cannot be read: loading the pair reports that.

    The pair is loaded after this. If a file changes in between, the next load of the settings has another digest.
    """
    try:
        contents = [read_regular(path, MAX_PEM_FILE) for path in (pair.certificate, pair.key)]
    except OSError:
        return pair
    digests = (hashlib.sha256(content).hexdigest() for content in contents)
    return replace(pair, digest=":".join(digests))


def problem(pair: ClientCertificate, password_name: str) -> tuple[str, str] | None:
    """Return the setting at fault and the reason if certificate and key cannot be used; None if they can.

    The setting is a field of the schema; `password_name` is the operator's name of the password. The reason contains
    neither a password nor the content of a file.
    """
    requested = False

    def password() -> str:  # without this function, OpenSSL would ask for the password on the terminal
        nonlocal requested
        requested = True
        return pair.password or ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(pair.certificate)  # fails if the file contains no certificate
    except ssl.SSLError:
        return "client_cert", "names a file that contains no certificate in PEM format"
    except OSError as error:
        return "client_cert", f"cannot be read: {error.strerror}"
    try:
        context.load_cert_chain(pair.certificate, pair.key, password)
    except ValueError:  # longer than OpenSSL permits
        return "client_key_password", "is too long: at most 1,024 bytes are possible"
    except ssl.SSLError as error:
        return _reason(error.reason, pair, password_name if requested else None)
    except OSError as error:
        return "client_key", f"cannot be read: {error.strerror}"
    return None


def _reason(reason: str | None, pair: ClientCertificate, password_name: str | None) -> tuple[str, str]:
    if reason in _MISMATCH:
        return "client_key", f"names a file whose key does not belong to the certificate in {pair.certificate}"
    if reason:
        return "client_cert", f"names a certificate that OpenSSL refuses: {reason.replace('_', ' ').lower()}"
    if password_name is None:
        return "client_key", "names a file that contains no private key in PEM format"
    if pair.password is None:
        return "client_key", f"names a key that is encrypted; set {password_name}"
    return "client_key_password", "does not decrypt the key"
