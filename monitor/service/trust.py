"""TLS client context for the probes, from the settings."""

from __future__ import annotations

import ssl

from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.files import read_regular
from monitor.http.tls import verifying_context

_MAX_CA_FILE = 16 * 1024 * 1024  # bytes; a file with all public CA certificates has less than 1 MiB


def probing_context(settings: Settings) -> ssl.SSLContext:
    """Return `verifying_context` for `settings`. Raises `ConfigError` if the CA file cannot be used."""
    reason: str | None = "it contains no certificate in PEM format"
    try:
        if settings.ca_file is not None:
            read_regular(settings.ca_file, _MAX_CA_FILE)  # OpenSSL would wait for the writer of a named pipe
        return verifying_context(settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
    raise ConfigError((f"TIGR_CA_FILE: {settings.ca_file} cannot be used: {reason}",))
