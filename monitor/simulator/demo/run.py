"""The demo: the real monitor against a TIGR on this machine, with small incidents that are told on the terminal.

`main(listen, seconds)` is what the command `tigr-monitor demo` calls: `listen` is where the monitor serves its pages,
written as in TIGR_LISTEN; it runs for so many seconds, or until Ctrl-C, and returns the exit status (0 well, 1
something is not, 2 for an address that is none).
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.config import urls as addresses

if TYPE_CHECKING:
    from monitor.simulator.demo.harness import DemoHarness
    from monitor.simulator.demo.scenario import Incident

CALM_AT_FIRST = 8.0  # seconds of calm, for a first look


def main(listen: str = "127.0.0.1:9844", seconds: float | None = None) -> int:
    """Run the demo; see above."""
    try:
        host, port = addresses.listen(listen)
    except ValueError as error:
        return _fail(f"--listen {listen}: {error}", status=2)
    if importlib.util.find_spec("cryptography") is None:
        return _fail("The demo makes certificates, and needs what its extra brings: pip install 'tigr-monitor[demo]'")
    if why := _unavailable(host, port):
        return _fail(f"{listen} cannot be had: {why}. Take another one: tigr-monitor demo --listen 127.0.0.1:9855")
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    return _run(host, port, seconds, over)


def _run(host: str, port: int, seconds: float | None, over: threading.Event) -> int:
    # Only now: these need `cryptography`.
    from monitor.simulator.demo.harness import DemoHarness, ListenAddress
    from monitor.simulator.simulator import Latency, Simulator

    listen = ListenAddress(host, port)
    with ExitStack() as resources:
        simulator = resources.enter_context(Simulator())
        for name, lifetime in (("prod", 60), ("uat", 20)):
            simulator.environment(name).lifetime = lifetime
            simulator.environment(name).latency = Latency(token=0.18, ping=0.06)
        directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="tigr-demo-"))
        stage = DemoHarness(simulator, Path(directory), listen, over)
        resources.callback(stage.close)
        _say(
            f"tigr-monitor watches a TIGR that runs on this machine. Look at\n\n    http://{listen.reached_at}/metrics\n"
        )
        if not stage.start():
            return _end(stage, "The monitor does not answer.")
        if seconds is not None:
            timer = threading.Timer(seconds, over.set)
            timer.daemon = True
            timer.start()
            resources.callback(timer.cancel)
        _say(f"In {CALM_AT_FIRST:.0f} s small incidents begin, one after the other. Ctrl-C ends it all.\n")
        _play(stage)
        return _end(stage, "")


def _play(stage: DemoHarness) -> None:
    """Go through the programme again and again, until it is over."""
    from monitor.simulator.demo.scenario import CALM, PROGRAMME

    began = time.monotonic()
    stage.over.wait(CALM_AT_FIRST)
    while not stage.over.is_set():
        for incident in PROGRAMME:
            _tell(incident, time.monotonic() - began)
            for seconds in incident.script(stage):
                if stage.over.wait(seconds):
                    return
            if stage.over.wait(CALM):
                return
        _say("All is well again, and that was everything. It begins anew.\n")


def _tell(incident: Incident, elapsed: float) -> None:
    _say(f"{elapsed:3.0f} s {incident.tells}")
    for series in incident.shows:
        _say(f"          {series}")
    _say("")


def _end(stage: DemoHarness, trouble: str) -> int:
    """Say how it went."""
    if stage.exit_status is not None:
        return _fail(f"The monitor has ended by itself, with status {stage.exit_status}.")
    if trouble and not stage.over.is_set():
        return _fail(trouble)
    _say("The demo ends.")
    return 0


def _unavailable(host: str, port: int) -> str:
    """Why the monitor could not listen there; empty when it can."""
    if port == 0:
        return "the demo needs a port that it knows beforehand"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen()  # one that only was bound by somebody else shows here
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - it speaks to whoever watches


def _fail(words: str, *, status: int = 1) -> int:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - as above
    return status
