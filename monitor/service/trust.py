"""TLS client contexts for the probes, from the settings."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.config.client_certificate import ClientCertificate
from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.http.tls import add_trust_anchors, has_trust_anchors, present, system_context
from monitor.machine.files import MAX_PEM_FILE, read_regular
from monitor.machine.limits import local_limit

_SYSTEM_ANCHORS_GONE = (
    "the CA certificates of the system are gone, and TLS handshakes that need them would fail: install the package "
    "ca-certificates (Debian), or restore the files that SSL_CERT_FILE and SSL_CERT_DIR name"
)
_NO_ANCHORS = (
    "TIGR_CA_FILE: is not set, and the system has no CA certificates, so every TLS handshake would fail: set it"
)


def trust_anchors(context: ssl.SSLContext) -> object:
    """Return a value that is equal for contexts with the same trust anchors, without the certificates (0.2 MB)."""
    certificates = sorted(set(context.get_ca_certs(binary_form=True)))
    return context.cert_store_stats()["x509"], hashlib.sha256(b"".join(certificates)).digest()


@dataclass(frozen=True, slots=True)
class Trust:
    """The contexts of the probes, and the presence of trust anchors in them. All have the same anchors."""

    contexts: Mapping[str, ssl.SSLContext]  # by the name of the environment
    from_system: bool  # the system has trust anchors

    @property
    def has_anchors(self) -> bool:
        """Whether a certificate can be verified."""
        return all(map(has_trust_anchors, self.contexts.values()))


def load_trust(settings: Settings, before: Trust | None = None) -> Trust:
    """Return the trust for `settings`; `before` is in force until now.

    Raises `ConfigError` if a file cannot be used, if the process is out of file descriptors or memory, or if trust
    anchors that were in force `before` are gone: while a package or a mount is replaced, the files are missing for a
    moment, and every handshake would fail.
    """
    trust = _probing_trust(settings)
    if before is not None and before.from_system and not trust.from_system:
        raise ConfigError((_SYSTEM_ANCHORS_GONE,))
    if before is not None and before.has_anchors and not trust.has_anchors:
        raise ConfigError((_NO_ANCHORS,))
    return trust


def _probing_trust(settings: Settings) -> Trust:
    """Return the context of each environment. Environments with equal client certificates share one."""
    contexts: dict[ClientCertificate | None, ssl.SSLContext] = {}
    from_system = False
    for environment in settings.environments:
        pair = environment.client_certificate
        if pair not in contexts:
            contexts[pair], from_system = _probing_context(settings)
            if pair is not None:
                _present(contexts[pair], pair)
    by_name = {environment.name: contexts[environment.client_certificate] for environment in settings.environments}
    return Trust(by_name, from_system)


def _probing_context(settings: Settings) -> tuple[ssl.SSLContext, bool]:
    """Return the context, and whether the system has trust anchors: another context would read them once more."""
    reason: str | None = "it contains no certificate in PEM format"
    try:
        context = system_context()
        from_system = has_trust_anchors(context)
        if settings.ca_file is not None:
            read_regular(settings.ca_file, MAX_PEM_FILE)  # OpenSSL would wait for the writer of a named pipe
            add_trust_anchors(context, settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
        if limit := local_limit(error):
            raise ConfigError((f"the CA certificates cannot be read: {limit}",)) from None
    else:
        return context, from_system
    raise ConfigError((f"TIGR_CA_FILE: {settings.ca_file} cannot be used: {reason}",))


def _present(context: ssl.SSLContext, pair: ClientCertificate) -> None:
    """Load a pair that was valid when the settings were loaded; its files may have changed since."""
    try:
        present(context, pair)
    except (OSError, ValueError) as error:
        if not isinstance(error, ssl.SSLError) and (limit := local_limit(error)):
            raise ConfigError((f"the client certificates cannot be read: {limit}",)) from None
        files = f"the client certificate {pair.certificate} and its key {pair.key}"
        raise ConfigError((f"{files} cannot be used: they changed while they were read; try again",)) from None
