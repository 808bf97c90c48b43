"""The TLS context that the settings ask for."""

from __future__ import annotations

import ssl

from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.http.tls import verifying_context


def probing_context(settings: Settings) -> ssl.SSLContext:
    """Return `verifying_context` for `settings`; a CA file that cannot be used is a `ConfigError`."""
    why: str | None = "it holds no certificate in PEM form"
    try:
        return verifying_context(settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        why = error.strerror
    raise ConfigError((f"TIGR_CA_FILE: {settings.ca_file} cannot be used: {why}",))
