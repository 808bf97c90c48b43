"""The arguments of the commands that run a simulated TIGR. The simulator itself is imported when a command runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from monitor.commands.parsers import Add

_MAX_PORT = 65535


def add_simulator_commands(
    add: Add, demo: Callable[[argparse.Namespace], int], simulate: Callable[[argparse.Namespace], int]
) -> None:
    """Add the parsers of `demo` and `simulate`, which call these functions."""
    _add_demo(add, demo)
    _add_simulate(add, simulate)


def _add_demo(add: Add, demo: Callable[[argparse.Namespace], int]) -> None:
    parser = add(
        "demo", demo, "monitor a simulated TIGR on this machine, with small incidents; no request leaves the machine"
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:9844",
        metavar="ADDRESS",
        help="address of the metrics and pages (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, metavar="N", help="stop after N seconds (default: run until Ctrl-C)")


def _add_simulate(add: Add, simulate: Callable[[argparse.Namespace], int]) -> None:
    parser = add(
        "simulate",
        simulate,
        "run a simulated TIGR on this machine, to rehearse an alert; no request leaves the machine",
        "It\nprints the settings for a monitor of it, and runs until Ctrl-C. With --send, it sends a command to the\n"
        "simulator that runs: `tigr-monitor simulate --send prod api status=503` begins a fault,\n"
        "`tigr-monitor simulate --send prod clear` ends it, and `--send help` lists the commands.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        default=["prod", "uat"],
        metavar="NAME",
        help="names of the simulated environments (default: prod uat)",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIRECTORY",
        help="write the settings to DIRECTORY/settings.env instead, for a service, and the CA certificate beneath; the "
        "simulator deletes both at its end",
    )
    parser.add_argument("--plain", action="store_true", help="use plain HTTP instead of TLS")
    parser.add_argument("--ipv6", action="store_true", help="listen on ::1 too")
    parser.add_argument("--log", action="store_true", help="print every request")
    parser.add_argument(
        "--control-port",
        type=_port,
        default=9845,
        metavar="PORT",
        help="port of 127.0.0.1 for --send (default: %(default)s; 0: a free one)",
    )
    parser.add_argument(
        "--send", nargs="+", metavar="WORD", help="send a command to the simulator that runs, such as: prod api hang"
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(f"it must be a number from 0 to {_MAX_PORT}")
    return int(text)
