"""The arguments of the commands that set up the service of systemd. A command is imported when it runs."""

from __future__ import annotations

import argparse

from monitor.commands.parsers import Add

# As in monitor.config.schema and monitor.installation.stores, whose imports are slow; a test compares them.
NAMES = ("client_id", "client_secret", "username", "password", "client_key_password")
WAYS = ("root-only", "encrypted", "group-readable")


def add_setup_commands(add: Add) -> None:
    """Add the commands that write secrets."""
    setup = add(
        "setup",
        _setup,
        "enter the secrets of the service of systemd, check them, start it",
        "It asks without echo.\nA value that is set stays until a new one is entered, so the command can be repeated.",
    )
    setup.add_argument(
        "--only", action="append", metavar="NAME", help="monitor only this environment, such as prod (repeatable)"
    )
    setup.add_argument(
        "--store",
        choices=WAYS,
        help="root-only: files that only root can read, copied at each start; encrypted: the same, of no use "
        "on another machine; group-readable: files that a reload rereads (default: as it is)",
    )
    setup.add_argument(
        "--stdin",
        action="store_true",
        help="ask nothing; read lines of the form NAME=VALUE, or JSON objects, from standard input",
    )
    secret = add(
        "set-secret",
        _set_secret,
        "replace one secret of the service of systemd",
        "It asks without echo, then reloads or\nrestarts the service. "
        "If the service refuses the value, the old one stays in force.",
    )
    secret.add_argument("environment", metavar="ENVIRONMENT", help="such as prod")
    secret.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    secret.add_argument("--stdin", action="store_true", help="ask nothing; standard input is the value")


def _setup(options: argparse.Namespace) -> int:
    from monitor.commands.setup import setup

    return setup(options)


def _set_secret(options: argparse.Namespace) -> int:
    from monitor.commands.set_secret import set_secret

    return set_secret(options)
