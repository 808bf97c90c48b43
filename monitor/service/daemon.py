"""The daemon: start, reload, stop."""

from __future__ import annotations

import faulthandler
import functools
import gc
import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import Enum, auto

from monitor import __version__, log
from monitor.config.settings import LoadedSettings, Settings, load
from monitor.errors import ConfigError
from monitor.hosts import bracketed
from monitor.http.tls import has_roots
from monitor.log import fields
from monitor.monitoring.state import State, StateInUseError
from monitor.service.supervisor import Monitoring
from monitor.service.systemd import Notifier
from monitor.service.trust import probing_context
from monitor.service.warmup import warm_up
from monitor.web.access import AccessControl, exposure_warning
from monitor.web.server import WebServer

# Seconds between two hand-overs of the interpreter lock: at Python's own 5 ms a scrape moves the stamps of a probe.
_SWITCH_INTERVAL = 0.0005
_log = logging.getLogger(__name__)


class CannotStartError(Exception):
    """Something that is no setting is in the way. The message is for the operator."""


class _Order(Enum):
    RELOAD = auto()
    LOG_IN = auto()
    STOP = auto()


_ORDERS = {
    signal.SIGHUP: _Order.RELOAD,
    signal.SIGUSR1: _Order.LOG_IN,
    signal.SIGTERM: _Order.STOP,
    signal.SIGINT: _Order.STOP,
}


class Daemon:
    """The monitor as a service."""

    def __init__(self, loaded: LoadedSettings, environ: Mapping[str, str], notifier: Notifier) -> None:
        self._loaded = loaded
        self._environ = environ
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._obeying = threading.Lock()
        self._pending: set[_Order] = set()  # orders that wait for the lock: signals that repeat one add nothing
        self._notifier = notifier

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises `ConfigError` or `CannotStartError` before anything is sent to anybody.
        """
        faulthandler.enable()  # the watchdog's SIGABRT: which line hangs; it prints no values
        settings = self._loaded.settings
        self._take_signals(signal.SIGHUP, signal.SIGUSR1)  # at once: by default they end the process
        self._configure_log(settings)
        sys.setswitchinterval(_SWITCH_INTERVAL)
        context = probing_context(settings)
        with ExitStack() as resources:
            state = _state(settings)
            resources.callback(state.close)
            monitoring = Monitoring(settings, context, state)
            access = AccessControl(settings.web_config_file) if settings.web_config_file else None
            server = _server(settings, monitoring, access)
            resources.callback(server.stop)
            server.start()
            self._take_signals(*_ORDERS)
            names = ", ".join(monitoring.index())
            _log.info("tigr-monitor %s watches %s", __version__, names, extra=fields(metrics=f"{server.url}/metrics"))
            if not has_roots(context):
                _log.warning(
                    "no trusted root certificates are installed, and TIGR_CA_FILE is not set: every TLS "
                    "handshake will fail; install the system's (the package ca-certificates, on Debian)"
                )
            if warning := exposure_warning(settings.listen_host, access):
                _log.warning(warning)
            if settings.state_dir is None:
                _log.warning(
                    "TIGR_STATE_DIR is not set: a restart forgets that credentials were rejected, and tries them again"
                )
            monitoring.report_suppressed()
            warm_up(server.url)
            _settle()
            monitoring.start()
            resources.callback(monitoring.stop)
            self._notifier.ready()
            self._notifier.report(monitoring.status, monitoring.stalled)
            self._obey(monitoring)
            self._notifier.stopping()
            _log.info("stopping")

    def _take_signals(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            signal.signal(number, lambda *_, order=_ORDERS[number]: self._orders.put(order))

    def _obey(self, monitoring: Monitoring) -> None:
        tasks = {_Order.RELOAD: self._reload, _Order.LOG_IN: self._log_in}
        while (order := self._orders.get()) is not _Order.STOP:
            if order in self._pending:
                continue
            self._pending.add(order)
            # In a thread of its own: it waits for logins in progress, for which the order to stop must not wait.
            task = functools.partial(self._carry_out, order, tasks[order], monitoring)
            threading.Thread(target=task, name=order.name.lower(), daemon=True).start()

    def _carry_out(self, order: _Order, task: Callable[[Monitoring], None], monitoring: Monitoring) -> None:
        """Carry out one order at a time; a signal that comes while it is in progress is an order of its own."""
        with self._obeying:
            self._pending.discard(order)
            task(monitoring)

    def _log_in(self, monitoring: Monitoring) -> None:
        """Allow a login that is delayed, because an operator asks for it."""
        allowed = monitoring.request_logins_after_signal()
        if allowed:
            _log.info("%s: one login, as SIGUSR1 asks", ", ".join(allowed))
        else:
            _log.info("SIGUSR1: no login is delayed, or a signal has asked for one in the last five minutes")

    def _reload(self, monitoring: Monitoring) -> None:
        """Read the settings again, and go over to them if they can be used."""
        self._notifier.reloading()
        try:
            self._read_again(monitoring)
        finally:
            self._notifier.ready()

    def _read_again(self, monitoring: Monitoring) -> None:
        old = self._loaded
        try:
            new = load(self._environ)
            context = probing_context(new.settings)
        except ConfigError as error:
            monitoring.keep()
            for problem in error.problems:
                _log.error("reload: %s", problem)
            _log.error("reload failed: the old settings stay in force")
            return
        _warn_of_restart(old.settings, new.settings)
        self._configure_log(new.settings)
        monitoring.adopt(new.settings, context)
        self._loaded = new
        asked = monitoring.request_logins_after_reload()
        others = [name for name in monitoring.suppressed() if name not in asked]
        _log.info("reloaded: %s", _news(old, new))
        if asked:
            _log.info("%s: one login with the credentials that were rejected, as this reload asks", ", ".join(asked))
        if others:
            _log.info(
                "%s: logins stay suppressed: a reload has allowed one login already; SIGUSR1 allows another",
                ", ".join(others),
            )

    def _configure_log(self, settings: Settings) -> None:
        layout = self._loaded.settings.log_format  # the one the daemon began with
        log.configure(settings.log_level, layout, journald=log.is_journal(self._environ))


def _settle() -> None:
    """Leave what was imported out of every later search for garbage.

    It stays for good. Searching it takes longer than a phase of a probe, and because there is so much of it, the search
    would come seldom, and garbage pile up until then.
    """
    gc.collect()
    gc.freeze()


def _state(settings: Settings) -> State:
    try:
        return State(settings.state_dir)
    except StateInUseError:
        raise CannotStartError(
            f"another tigr-monitor uses the state directory {settings.state_dir}: "
            "give each one a directory of its own, with TIGR_STATE_DIR"
        ) from None


def _server(settings: Settings, monitoring: Monitoring, access: AccessControl | None) -> WebServer:
    try:
        return WebServer(settings.listen_host, settings.listen_port, monitoring, access)
    except OSError as error:
        where = f"{bracketed(settings.listen_host)}:{settings.listen_port}"
        raise CannotStartError(
            f"cannot listen on {where}: {error.strerror}; free it, or choose another address with TIGR_LISTEN"
        ) from None


def _warn_of_restart(old: Settings, new: Settings) -> None:
    changed = {
        "TIGR_LISTEN": (old.listen_host, old.listen_port) != (new.listen_host, new.listen_port),
        "TIGR_STATE_DIR": old.state_dir != new.state_dir,
        "TIGR_WEB_CONFIG_FILE": old.web_config_file != new.web_config_file,
        "TIGR_LOG_FORMAT": old.log_format != new.log_format,
    }
    for name in [name for name, is_changed in changed.items() if is_changed]:
        _log.warning("reload: %s changed, which takes a restart", name)


def _news(old: LoadedSettings, new: LoadedSettings) -> str:
    """What changed, in words; where nothing did, why a rotated secret may not be among it."""
    if old.settings != new.settings:
        return "new settings are in force"
    if new.load_credential:
        return "nothing is new; systemd copies LoadCredential's secrets at the start: a new one takes a restart"
    return (
        "nothing is new; the configuration file and the secret files were read, variables cannot change while it runs"
    )
