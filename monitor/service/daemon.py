"""The daemon: start, reload and stop."""

from __future__ import annotations

import faulthandler
import gc
import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from monitor import __version__, log
from monitor.config.settings import EnvironmentSettings, LoadedSettings, Settings, load
from monitor.errors import ConfigError, describe_exception
from monitor.hosts import bracketed
from monitor.log import fields
from monitor.monitoring.state import State, StateInUseError
from monitor.output.failure_period import FailurePeriod
from monitor.service.check_stream import MonitoredChecks
from monitor.service.control import ControlServer, SocketInUseError
from monitor.service.control_routes import ControlRoutes
from monitor.service.process_limits import raise_descriptor_limit
from monitor.service.reload import ReloadOutcome, changed_at_restart, summary, with_new_credentials
from monitor.service.signals import RequestThread, SignalRequest, SignalRequests
from monitor.service.supervisor import Supervisor
from monitor.service.systemd import SystemdNotifier
from monitor.service.trust import load_trust
from monitor.service.warmup import warm_up
from monitor.tigr.client import short_secrets
from monitor.tigr.runs import MIN_RUN
from monitor.web.access import AccessControl, exposure_warning
from monitor.web.server import WebServer

# Seconds, `sys.setswitchinterval`: the thread of a probe waits that long for one that computes, such as a scrape, each
# time that it continues after input or output. Python's default is 5 ms, and an exchange has several such waits.
_SWITCH_INTERVAL = 0.0001
_log = logging.getLogger(__name__)


class CannotStartError(Exception):
    """The daemon cannot start for a reason other than a wrong setting. The message is for the operator."""


class Daemon:
    """Runs the monitor as a service."""

    def __init__(
        self, loaded: LoadedSettings, environ: Mapping[str, str], notifier: SystemdNotifier, signals: SignalRequests
    ) -> None:
        self._loaded = loaded
        self._environ = environ
        self._notifier = notifier
        self._signals = signals
        self._trust = load_trust(loaded.settings)
        self._access: AccessControl | None = None
        self._access_failures = FailurePeriod()

    def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises `ConfigError` or `CannotStartError` before any request is sent.
        """
        # SIGABRT of the watchdog prints the line that hangs, without values. If standard error is stuck, this waits
        # until systemd kills the process (TimeoutAbortSec).
        faulthandler.enable(2)
        settings = self._loaded.settings
        sys.setswitchinterval(_SWITCH_INTERVAL)
        raise_descriptor_limit()
        self._configure_log(settings)
        with ExitStack() as resources:
            state = _state(settings)
            resources.callback(state.close)
            supervisor = Supervisor(settings, self._trust.contexts, state)
            resources.callback(supervisor.close)
            access = self._access = _access(settings, supervisor)
            server = _server(settings, supervisor, access)
            resources.callback(server.stop)
            self._signals.install_stop()  # before the server responds: a SIGTERM after that is a normal stop
            server.start()
            requests = self._request_thread(supervisor)
            checks = MonitoredChecks(supervisor.checked_environments)
            routes = ControlRoutes(supervisor, supervisor.reports, requests, checks)
            control = _control(settings, routes)
            if control is not None:
                resources.callback(control.stop)
            names = ", ".join(supervisor.index())
            _log.info("tigr-monitor %s monitors %s", __version__, names, extra=fields(metrics=f"{server.url}/metrics"))
            if not self._trust.has_anchors:
                _log.warning(
                    "no CA certificates: the system has none and TIGR_CA_FILE is not set, so every TLS handshake will "
                    "fail; install the package ca-certificates (Debian) or set TIGR_CA_FILE"
                )
            if warning := exposure_warning(settings.listen_host, access):
                _log.warning(warning)
            if settings.state_dir is None:
                _log.warning(
                    "TIGR_STATE_DIR is not set: rejected credentials are sent again after each restart; set it"
                )
            _warn_of_short_secrets(settings.environments)
            supervisor.report_suppressed()
            warm_up(server.url)
            _freeze_imports()
            supervisor.start()
            resources.callback(supervisor.stop)
            if control is not None:
                control.start()
            self._notifier.ready()
            self._notifier.report(lambda: self._status(supervisor), supervisor.stalled)
            self._handle_requests(requests)
            self._notifier.stopping()
            _log.info("stopping")

    def _request_thread(self, supervisor: Supervisor) -> RequestThread:
        return RequestThread(
            {
                SignalRequest.RELOAD: lambda: self._reload(supervisor),
                SignalRequest.LOG_IN: lambda: self._log_in(supervisor),
            }
        )

    def _handle_requests(self, requests: RequestThread) -> None:
        while (request := self._signals.get()) is not SignalRequest.STOP:
            requests.add(request)

    def _status(self, supervisor: Supervisor) -> str:
        """Return the status line, after a check of the web configuration, which is otherwise read at a request."""
        self._check_web_configuration()
        return supervisor.status()

    def _check_web_configuration(self) -> None:
        if self._access is not None:
            try:
                self._access.policy()
            except Exception as error:  # noqa: BLE001 - it would end the thread that feeds the watchdog
                if self._access_failures.failed(fault := describe_exception(error)):
                    _log.error("cannot check the web configuration", extra=fields(fault=fault))
            else:
                if failed := self._access_failures.succeeded():
                    _log.info("the web configuration can be checked again", extra=fields(failed=failed))

    def _log_in(self, supervisor: Supervisor) -> None:
        """Allow one delayed login in each environment, at the request of an operator."""
        allowed = supervisor.request_logins_after_signal()
        if allowed.at_once:
            _log.info("%s: SIGUSR1 allows one login", ", ".join(allowed.at_once))
        if allowed.undecided:
            names = ", ".join(allowed.undecided)
            _log.info("%s: a login is in progress; if the next one is delayed, SIGUSR1 allows it", names)
        if not (allowed.at_once or allowed.undecided):
            _log.info("SIGUSR1: no login is delayed, or a signal already allowed one in the last five minutes")

    def _reload(self, supervisor: Supervisor) -> ReloadOutcome:
        """Load the settings again and apply them if they are valid."""
        self._notifier.reloading()
        try:
            return ReloadOutcome(is_refused=False, lines=tuple(self._load_and_apply(supervisor)))
        except ConfigError as error:
            supervisor.reload_failed()
            for problem in error.problems:
                _log.error("reload: %s", problem)
            _log.error("reload failed: the old settings stay in force")
            return ReloadOutcome(is_refused=True, lines=error.problems)
        except Exception as error:  # noqa: BLE001 - for want of memory or file descriptors, for example
            supervisor.reload_failed()
            fault = describe_exception(error)
            _log.error(
                "reload failed with an internal error: the old settings stay in force", extra=fields(fault=fault)
            )
            return ReloadOutcome(is_refused=True, lines=(f"internal error: {fault}",))
        finally:
            self._notifier.ready()

    def _load_and_apply(self, supervisor: Supervisor) -> list[str]:
        """Load and apply the settings; return the changes.

        Raises `ConfigError`; then the old settings stay in force.
        """
        self._check_web_configuration()
        old = self._loaded
        new = load(self._environ)
        trust = load_trust(new.settings, self._trust)
        restarts = [
            f"{name} changed; restart the monitor to apply it"
            for name in changed_at_restart(old.settings, new.settings)
        ]
        for line in restarts:
            _log.warning("reload: %s", line)
        self._configure_log(new.settings)
        supervisor.apply(new.settings, trust.contexts)
        self._loaded, self._trust = new, trust
        _warn_of_short_secrets(with_new_credentials(old.settings, new.settings))
        allowed = supervisor.request_logins_after_reload()
        others = [name for name in supervisor.suppressed() if name not in (*allowed.at_once, *allowed.undecided)]
        _log.info("reloaded: %s", changes := summary(old, new))
        logins = []
        if allowed.at_once:
            logins.append(f"{', '.join(allowed.at_once)}: the reload allows one login with the rejected credentials")
        if others:
            remedy = "a reload has allowed one login already; SIGUSR1 allows another"
            logins.append(f"{', '.join(others)}: logins stay suppressed: {remedy}")
        for line in logins:
            _log.info("%s", line)
        return [changes, *restarts, *logins]

    def _configure_log(self, settings: Settings) -> None:
        layout = self._loaded.settings.log_format  # the format at the start of the daemon
        log.configure(settings.log_level, layout, journald=log.is_journal(self._environ))


def _freeze_imports() -> None:
    """Freeze imported objects (`gc.freeze`), so that a full collection cannot pause a probe (12 ms measured).

    Without them a full collection is also triggered earlier, so less garbage accumulates. `monitor.__main__` has
    switched collections off. No collection comes before: it took 40 ms and found 0.4 MB.
    """
    gc.freeze()
    gc.enable()


def _state(settings: Settings) -> State:
    try:
        return State(settings.state_dir)
    except StateInUseError:
        raise CannotStartError(
            f"another tigr-monitor uses the state directory {settings.state_dir}: "
            "set TIGR_STATE_DIR to a different directory for each monitor"
        ) from None


def _access(settings: Settings, supervisor: Supervisor) -> AccessControl | None:
    if settings.web_config_file is None:
        return None
    return AccessControl(settings.web_config_file, observer=supervisor.web_configuration_read)


def _server(settings: Settings, supervisor: Supervisor, access: AccessControl | None) -> WebServer:
    try:
        return WebServer(settings.listen_host, settings.listen_port, supervisor, access)
    except OSError as error:
        address = f"{bracketed(settings.listen_host)}:{settings.listen_port}"
        raise CannotStartError(
            f"cannot listen on {address}: {error.strerror}; choose another address with TIGR_LISTEN"
        ) from None


def _control(settings: Settings, routes: ControlRoutes) -> ControlServer | None:
    """Return the control socket; None if no path is set, or if it cannot be made, which is logged."""
    path = settings.control_socket
    if path is None:
        return None
    try:
        # A missing state directory was reported; from now on it must not exist without the lock of this monitor.
        return ControlServer(path, routes.respond, may_create=path.parent != settings.state_dir)
    except SocketInUseError:
        raise CannotStartError(
            f"another tigr-monitor uses the control socket {path}: "
            "set TIGR_CONTROL_SOCKET to a different path for each monitor"
        ) from None
    except OSError as error:
        _log.warning(
            "cannot make the control socket %s: %s; the commands status, reload and health need it: set "
            "TIGR_CONTROL_SOCKET to a path in a directory to which only the monitor can write",
            path,
            error.strerror or error,
        )
        return None


def _warn_of_short_secrets(environments: Iterable[EnvironmentSettings]) -> None:
    if short := short_secrets(environments):
        _log.warning(
            "%s: shorter than %d characters (accents and repeated blanks do not count), so it is recognized in texts "
            "of servers as a whole word only; ask the vendor for a longer one",
            ", ".join(short),
            MIN_RUN,
        )
