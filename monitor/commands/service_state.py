"""The systemd service of the monitor on this machine, for the messages of commands that find no monitor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.commands.layout import printable
from monitor.errors import InstallationError
from monitor.installation import systemd

_PROPERTIES = ("LoadState", "ActiveState", "SubState", "StatusText")
_STATES = {"failed": "has failed", "inactive": "is stopped"}
_REMEDY = "start it, or name its socket with --socket or TIGR_CONTROL_SOCKET"
_REASON = "its log has the reason: journalctl -u tigr-monitor -o cat -n 20"
_OWN_CHECK = (
    "to check with the settings and the secrets of the service: systemctl start tigr-monitor-check",
    "the result: journalctl -u tigr-monitor-check -o cat --since -1min",
)
_NO_SECRETS = frozenset({"TIGR_CONTROL_SOCKET", "TIGR_STATE_DIR"})


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The state of the unit `tigr-monitor.service`."""

    active: str  # ActiveState, such as `failed`
    sub: str  # SubState, such as `auto-restart`
    status: str  # the last status line of the daemon; empty before the first one

    @property
    def description(self) -> str:
        """Return the state as the end of a sentence."""
        text = _STATES.get(self.active) or f"is {self.active} ({self.sub})"
        return f"the service tigr-monitor {text}{f': {self.status}' if self.status and self.active == 'failed' else ''}"


def service_state() -> ServiceState | None:
    """Return the state of the service; None without systemd, and if no such unit is installed."""
    if not systemd.is_booted():
        return None
    try:
        values = systemd.properties(*_PROPERTIES)
    except InstallationError:
        return None
    if values["LoadState"] in {"", "not-found"}:
        return None
    _, active, sub, status = (printable(values[name]) for name in _PROPERTIES)
    return ServiceState(active, sub, status)


def no_monitor(paths: Iterable[Path], service: ServiceState | None) -> str:
    """Return the message that no monitor listens at these paths, and what to do, as one line for each step."""
    names = ", ".join(map(str, dict.fromkeys(paths)))
    if service is None:
        return f"no monitor runs on this machine: no process listens on {names}; {_REMEDY}"
    if service.active == "active":
        first = f"no control socket: {service.description}, but no process listens on {names}"
        return f"{first}\n{_REASON}\nthen restart it: systemctl restart tigr-monitor"
    first = f"no monitor runs on this machine: {service.description}"
    return f"{first}\n{_REASON}\nto start it: systemctl start tigr-monitor"


def has_settings(environ: Mapping[str, str]) -> bool:
    """Return whether a variable has a setting, or names a source of settings."""
    names = {name.upper() for name in environ}
    return "CREDENTIALS_DIRECTORY" in names or any(name.startswith("TIGR_") for name in names - _NO_SECRETS)


def no_settings(no_daemon: str, service: ServiceState | None) -> str:
    """Return the message that a check cannot start: no monitor runs (`no_daemon`), and this process has no settings."""
    if service is not None:
        return "\n".join((no_daemon, *_OWN_CHECK))
    return (
        "no monitor runs on this machine, and this shell has no settings for a check of its own\n"
        "start the monitor, or set TIGR_CONFIG_FILE and TIGR_SECRETS_DIR, or variables: tigr-monitor config lists them"
    )
