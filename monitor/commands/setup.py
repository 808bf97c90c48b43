"""The `setup` command: enter the secrets of the installed service, check them, start the service.

It can be repeated and interrupted: a value that is stored stays until a new one is entered.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection

from monitor.commands.secret_input import ask_secret, ask_yes, label, read_values, require_terminal
from monitor.commands.setup_start import Changes, check_and_start
from monitor.config.schema import CREDENTIALS
from monitor.config.sources import Key, file_name
from monitor.errors import InstallationError
from monitor.installation import systemd
from monitor.installation.files import exclusive
from monitor.installation.selection import EnvironmentSelection
from monitor.installation.stores import Store, Way
from monitor.installation.switching import DIRECTORY, remove_remains, store_in_use, switch
from monitor.output.standard_streams import print_line, require_output
from monitor.service.process_limits import forbid_core_dumps

_DEFAULT_CONFIG_FILE = DIRECTORY / "tigr-monitor.toml"
_WITHOUT_SYSTEMD = (
    "write each secret into a file of its own, named such as tigr_environments__prod__password, in /run/secrets or in "
    "the directory that TIGR_SECRETS_DIR names, as docs/install.md describes"
)


def setup(options: argparse.Namespace) -> int:
    """Set the service up; return 0 if it runs and its check has succeeded, else 1. Raises `InstallationError`."""
    require_output()
    systemd.require_systemd(_WITHOUT_SYSTEMD)
    forbid_core_dumps()  # before the secrets are entered
    if not options.stdin:
        require_terminal()
    with exclusive(DIRECTORY):
        selection = EnvironmentSelection(systemd.unit(systemd.SERVICE).config_file or _DEFAULT_CONFIG_FILE)
        names = _chosen(selection, options.only or [], is_asked=not options.stdin)
        old = _old_store(options.store)
        given = _given(names, old) if options.stdin else None
        way = Way(options.store) if options.store or old is None else old.way
        is_switched = old is None or old.way is not way
        store = switch(old, way) if old is None or is_switched else old
        store.prepare()
        for directory in remove_remains(store):
            print_line(f"{directory}: removed the copies of secrets, which the service does not read")
        print_line(f"secrets: {way.description}, in {store.directory}")
        is_entered = _enter_all(store, names, given)
        if has_new_settings := selection.enable_only(names):
            print_line(f"{selection.path}: {', '.join(names)} enabled, every other environment disabled")
        changes = Changes(files=is_entered or has_new_settings, units=is_switched)
        return check_and_start(store.way, changes, is_asked=not options.stdin)


def _old_store(way: str | None) -> Store | None:
    """Return the store in use; None if the unit has no known one and the operator has chosen a way."""
    return systemd.unit(systemd.SERVICE).store if way else store_in_use()


def _chosen(selection: EnvironmentSelection, only: Collection[str], *, is_asked: bool) -> list[str]:
    """Return the environments to monitor. Raises `InstallationError`."""
    names, enabled = selection.names(), selection.enabled()
    for name in only:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
            raise InstallationError(f"--only: there is no environment of that name; {hint}", exit_status=2)
    if only:
        return [name for name in names if name in only]
    chosen = [name for name in names if ask_yes(f"Monitor {name}?", default=name in enabled)] if is_asked else enabled
    if not chosen:
        raise InstallationError(
            "no environment is chosen: there is nothing to monitor; choose at least one", exit_status=2
        )
    return chosen


def _given(environments: Collection[str], store: Store | None) -> dict[Key, str]:
    """Return the values from standard input. Raises `InstallationError` if one is wrong or missing."""
    given = read_values(environments)
    stored = store.stored() if store is not None else set()
    missing = [key for name in environments for key in _keys(name) if key not in given and key not in stored]
    if missing:
        names = [f"{file_name(key)}: is missing" for key in missing]
        raise InstallationError(
            "\n".join(["nothing was changed: standard input needs more lines:", *names]), exit_status=2
        )
    return given


def _enter_all(store: Store, environments: Collection[str], given: dict[Key, str] | None) -> bool:
    """Store the values of all environments, each environment as a whole; return whether any is new."""
    stored = store.stored()
    new = 0
    for environment in environments:
        entered = _asked(environment, stored) if given is None else _of(environment, given)
        for key, value in entered.items():
            store.write(key, value)
        new += len(entered)
        states = [f"{label(key)} {'new' if key in entered else 'set'}" for key in _keys(environment)]
        print_line(", ".join(states))
    return new > 0


def _asked(environment: str, stored: Collection[Key]) -> dict[Key, str]:
    """Ask for the values of an environment; return those that are new."""
    entered = {key: ask_secret(key, is_set=key in stored) for key in _keys(environment)}
    return {key: value for key, value in entered.items() if value is not None}


def _of(environment: str, given: dict[Key, str]) -> dict[Key, str]:
    return {key: value for key, value in given.items() if key[1] == environment}


def _keys(environment: str) -> list[Key]:
    return [("environments", environment, name) for name in CREDENTIALS]
