"""TLS client context for the probes, from the settings."""

from __future__ import annotations

import errno
import ssl

from monitor.config.settings import Settings
from monitor.errors import ConfigError
from monitor.http.tls import verifying_context

_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # no file descriptors, no memory: the files are not to blame


def probing_context(settings: Settings) -> ssl.SSLContext:
    """Return `verifying_context` for `settings`.

    Raises `ConfigError` if the CA file cannot be used, or if the process is out of file descriptors or memory.
    """
    reason: str | None = "it contains no certificate in PEM format"
    try:
        return verifying_context(settings.ca_file)
    except (ssl.SSLError, ValueError):
        pass
    except OSError as error:
        reason = error.strerror
        if error.errno in _LACKS:
            raise ConfigError((f"the CA certificates cannot be read: {reason}; try again later",)) from None
    raise ConfigError((f"TIGR_CA_FILE: {settings.ca_file} cannot be used: {reason}",))
