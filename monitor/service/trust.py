"""TLS client context for the probes, from the settings."""

from __future__ import annotations

import ssl

from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.http.tls import verifying_context


def probing_context(settings: Settings) -> ssl.SSLContext:
    """Return `verifying_context` for `settings`. Raises `ConfigError` if the CA file cannot be used."""
    reason: str | None = "it contains no certificate in PEM format"
    try:
        return verifying_context(settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
    raise ConfigError((f"TIGR_CA_FILE: {settings.ca_file} cannot be used: {reason}",))
