"""A check with the settings of this process, when no daemon runs."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence

from monitor import log
from monitor.config.settings import EnvironmentSettings, load
from monitor.http.client import HttpClient
from monitor.model import Endpoint, HostCheck, Result
from monitor.monitoring.environment import MonitoredEnvironment
from monitor.monitoring.state import State
from monitor.reporting.check_events import CheckEvent
from monitor.service.check import CheckedEnvironment, CheckOptions, run_check
from monitor.service.check_stream import chosen, events_of
from monitor.service.process_limits import forbid_core_dumps
from monitor.service.trust import load_trust
from monitor.tigr.client import TigrClient
from monitor.tigr.observation import current_observer


def own_check(names: Sequence[str]) -> Iterator[CheckEvent]:
    """Start a check with the settings of this process and return its events.

    Raises `ConfigError` if the settings are wrong, and `CheckError` if a name is unknown.
    """
    forbid_core_dumps()  # before the secrets are loaded
    settings = load(os.environ).settings
    environments = chosen(names, settings.environments)
    log.configure("warning", "logfmt", journald=False)
    contexts = load_trust(settings).contexts
    state = State(settings.state_dir, shared=True)
    checked = [_own_environment(each, contexts[each.name], state) for each in environments]
    return events_of(lambda emit: run_check(checked, CheckOptions(), emit))


def _own_environment(settings: EnvironmentSettings, context: ssl.SSLContext, state: State) -> CheckedEnvironment:
    client = TigrClient(settings, HttpClient(context))
    environment = MonitoredEnvironment(settings, client, _Sink(), state)
    return CheckedEnvironment(settings, environment, state)


class _Sink:
    """Passes the Results of a check to its observer."""

    def record(self, result: Result) -> None:
        if observer := current_observer():
            observer.recorded(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Ignore the check of the token host: this check does not contain it."""

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:  # noqa: ARG002
        if observer := current_observer():
            observer.certificate_seen(endpoint, expiry)
