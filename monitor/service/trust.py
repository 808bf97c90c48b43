"""TLS client context for the probes, from the settings."""

from __future__ import annotations

import errno
import ssl
from dataclasses import dataclass

from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.files import MAX_PEM_FILE, read_regular
from monitor.http.tls import has_trust_anchors, verifying_context

_SYSTEM_ANCHORS_GONE = (
    "the CA certificates of the system are gone, and TLS handshakes that need them would fail: install the package "
    "ca-certificates (Debian), or restore the files that SSL_CERT_FILE and SSL_CERT_DIR name"
)
_NO_ANCHORS = (
    "TIGR_CA_FILE: is not set, and the system has no CA certificates, so every TLS handshake would fail: set it"
)


def trust_anchors(context: ssl.SSLContext) -> object:
    """Return a value that is equal for contexts with the same trust anchors."""
    return context.cert_store_stats()["x509"], frozenset(context.get_ca_certs(binary_form=True))


@dataclass(frozen=True, slots=True)
class Trust:
    """The context of the probes, and the presence of trust anchors in it."""

    context: ssl.SSLContext
    from_system: bool  # the system has trust anchors

    @property
    def has_anchors(self) -> bool:
        """Whether a certificate can be verified."""
        return has_trust_anchors(self.context)


def load_trust(settings: Settings, before: Trust | None = None) -> Trust:
    """Return the trust for `settings`; `before` is in force until now.

    Raises `ConfigError` if the CA file cannot be used, or if trust anchors that were in force `before` are gone: while
    a package or a mount is replaced, the files are missing for a moment, and every handshake would fail.
    """
    context = probing_context(settings)
    system = context if settings.ca_file is None else verifying_context()
    trust = Trust(context, has_trust_anchors(system))
    if before is not None and before.from_system and not trust.from_system:
        raise ConfigError((_SYSTEM_ANCHORS_GONE,))
    if before is not None and before.has_anchors and not trust.has_anchors:
        raise ConfigError((_NO_ANCHORS,))
    return trust


_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # no file descriptors, no memory: the files are not to blame


def probing_context(settings: Settings) -> ssl.SSLContext:
    """Return `verifying_context` for `settings`.

    Raises `ConfigError` if the CA file cannot be used, or if the process is out of file descriptors or memory.
    """
    reason: str | None = "it contains no certificate in PEM format"
    try:
        if settings.ca_file is not None:
            read_regular(settings.ca_file, MAX_PEM_FILE)  # OpenSSL would wait for the writer of a named pipe
        return verifying_context(settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
        if error.errno in _LACKS:
            raise ConfigError((f"the CA certificates cannot be read: {reason}; try again later",)) from None
    raise ConfigError((f"TIGR_CA_FILE: {settings.ca_file} cannot be used: {reason}",))
