"""TLS client contexts for the probes, from the settings."""

from __future__ import annotations

import ssl

from monitor.config.client_certificate import ClientCertificate
from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.http.tls import present, verifying_context
from monitor.limits import local_limit


def probing_contexts(settings: Settings) -> dict[str, ssl.SSLContext]:
    """Return the context of each environment, by name. Environments with equal client certificates share one.

    Raises `ConfigError` if a file cannot be used, or if the process is out of file descriptors or memory.
    """
    contexts: dict[ClientCertificate | None, ssl.SSLContext] = {}
    for environment in settings.environments:
        pair = environment.client_certificate
        if pair not in contexts:
            contexts[pair] = probing_context(settings)
            if pair is not None:
                _present(contexts[pair], pair)
    return {environment.name: contexts[environment.client_certificate] for environment in settings.environments}


def probing_context(settings: Settings) -> ssl.SSLContext:
    """Return `verifying_context` for `settings`. Raises `ConfigError`, as `probing_contexts` does."""
    reason: str | None = "it contains no certificate in PEM format"
    try:
        return verifying_context(settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
        if limit := local_limit(error):
            raise ConfigError((f"the CA certificates cannot be read: {limit}",)) from None
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
