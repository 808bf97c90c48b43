"""The `set-secret` command: replace one secret of the installed service, and put it into force."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

from monitor.commands.program import program
from monitor.commands.secret_input import ask_secret, label, read_value, require_terminal
from monitor.commands.service_change import RefusedError, put_into_force, restart
from monitor.config.sources import Key
from monitor.errors import DaemonError, InstallationError, ReloadRefusedError
from monitor.installation import systemd
from monitor.installation.files import exclusive
from monitor.installation.selection import EnvironmentSelection
from monitor.installation.stores import Store, Way
from monitor.installation.switching import DIRECTORY, store_in_use
from monitor.output.standard_streams import print_line, require_output
from monitor.service.process_limits import forbid_core_dumps

_WITHOUT_SYSTEMD = "write the value into its secret file, then run `tigr-monitor reload`"


def set_secret(options: argparse.Namespace) -> int:
    """Replace a secret; return 0. Raises `InstallationError`; a value that is refused leaves the old one in force."""
    require_output()
    systemd.require_systemd(_WITHOUT_SYSTEMD)
    forbid_core_dumps()  # before the secret is entered
    with exclusive(DIRECTORY):
        store = store_in_use()
        key = ("environments", options.environment.lower(), options.name)
        _require_known(key[1], store)
        if not options.stdin:
            require_terminal()
        value = read_value(key) if options.stdin else ask_secret(key, is_set=False)
        assert value is not None  # noqa: S101 - only a value that is set can be kept
        _replace(store, key, value)
    return 0


def _require_known(environment: str, store: Store) -> None:
    """Raise `InstallationError` if neither the settings nor the secrets have this environment."""
    names: Sequence[str] = sorted({stored[1] for stored in store.stored()})
    if (path := systemd.unit(systemd.SERVICE).config_file) is not None:
        names = list(dict.fromkeys([*EnvironmentSelection(path).names(), *names]))
    if environment not in names:
        close = difflib.get_close_matches(environment, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise InstallationError(f"there is no environment of that name; {hint}", exit_status=2)


def _replace(store: Store, key: Key, value: str) -> None:
    """Store a value and put it into force; store the old one again if the service refuses it."""
    store.prepare()
    old = store.saved(key)
    store.write(key, value)
    print_line(f"{label(key)}: stored in {store.path(key)}")
    if not systemd.is_running():
        print_line("the service does not run; it uses the value from its next start on")
        return
    try:
        print_line(put_into_force(store.way))
    except (RefusedError, ReloadRefusedError) as error:
        store.restore(key, old)
        raise InstallationError(f"{error}\n{_after_restoring(store.way)}") from None
    except DaemonError as error:
        message = f"{error}\nthe new value is stored; put it into force: systemctl restart tigr-monitor"
        raise InstallationError(message) from None
    print_line(f"see whether TIGR accepts it: {program()} check {key[1]}")


def _after_restoring(way: Way) -> str:
    """Put the old value into force again, which is stored again; return the outcome as text."""
    text = "the old value is stored again"
    if way is Way.GROUP_READABLE:
        return f"{text}, and stays in force"
    try:
        restart()
    except RefusedError as error:
        return f"{text}; with it, {error}: so the value is not the cause"
    return f"{text}, and the service runs with it"
