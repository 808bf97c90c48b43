"""Reloads of the settings: their outcome, and the differences between old and new settings."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.config.settings import EnvironmentSettings, LoadedSettings, Settings


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """The outcome of a reload, for the operator."""

    is_refused: bool  # the old settings stay in force
    lines: tuple[str, ...]  # the changes, or the problems if the reload was refused


def changed_at_restart(old: Settings, new: Settings) -> list[str]:
    """Return the names of the changed settings that only a restart applies."""
    changed = {
        "TIGR_LISTEN": (old.listen_host, old.listen_port) != (new.listen_host, new.listen_port),
        "TIGR_STATE_DIR": old.state_dir != new.state_dir,
        "TIGR_CONTROL_SOCKET": old.control_socket != new.control_socket,
        "TIGR_WEB_CONFIG_FILE": old.web_config_file != new.web_config_file,
        "TIGR_LOG_FORMAT": old.log_format != new.log_format,
    }
    return [name for name, is_changed in changed.items() if is_changed]


def with_new_credentials(old: Settings, new: Settings) -> list[EnvironmentSettings]:
    """Return the environments of `new` whose credentials are not those of `old`."""
    known = [(environment.name, environment.credentials) for environment in old.environments]
    return [each for each in new.environments if (each.name, each.credentials) not in known]


def summary(old: LoadedSettings, new: LoadedSettings) -> str:
    """Return a text about the changes; if there are none, include the reason why a rotated secret may be missing."""
    if old.settings != new.settings:
        return "new settings are in force"
    if new.load_credential:
        return "no changes; systemd copies LoadCredential secrets at the start, so a new secret requires a restart"
    return (
        "no changes; the configuration file and the secret files were read again, "
        "environment variables cannot change while the monitor runs"
    )
