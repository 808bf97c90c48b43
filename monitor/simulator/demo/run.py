"""The command `tigr-monitor demo`: run the real monitor and a simulated TIGR, and announce incidents on a terminal."""

from __future__ import annotations

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
from monitor.output.queued_writer import QueuedWriter
from monitor.output.standard_streams import OutputError, print_error, require_output
from monitor.simulator.extra import missing_modules

if TYPE_CHECKING:
    from monitor.simulator.demo.harness import DemoHarness
    from monitor.simulator.demo.scenario import Incident

FIRST_PAUSE = 8.0  # seconds without incidents, for a first look
_PRINT_TIMEOUT = 0.5  # seconds that the demo waits for a reader of its output


def main(listen: str = "127.0.0.1:9844", seconds: float | None = None) -> int:
    """Run the demo for so many seconds, or until Ctrl-C.

    `listen` is the listen address of the monitor, in the syntax of TIGR_LISTEN. Return the exit status: 0 if all is
    well, 1 after a failure, 2 for an invalid address. Raises `OutputError` if standard output cannot be written.
    """
    require_output()
    try:
        host, port = addresses.listen(listen)
    except ValueError as error:
        return _fail(f"--listen {listen}: {error}", status=2)
    if missing_modules():
        return _fail("The demo needs more packages. In the folder of the source code, run: make demo")
    if reason := _unavailable(host, port):
        return _fail(
            f"cannot listen on {listen}: {reason}; choose another address: tigr-monitor demo --listen 127.0.0.1:9855"
        )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    return _run(host, port, seconds, stopped)


def _run(host: str, port: int, seconds: float | None, stopped: threading.Event) -> int:
    # Imported here: these modules need the packages of the extra.
    from monitor.simulator.demo.harness import DemoHarness, ListenAddress
    from monitor.simulator.simulator import Latency, Simulator

    listen = ListenAddress(host, port)
    with ExitStack() as resources:
        simulator = resources.enter_context(Simulator())
        for name, lifetime in (("prod", 60), ("uat", 20)):
            simulator.environment(name).lifetime = lifetime
            simulator.environment(name).latency = Latency(token=0.18, ping=0.06)
        directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="tigr-demo-"))
        harness = DemoHarness(simulator, Path(directory), listen, stopped)
        resources.callback(harness.close)
        output = _Output(stopped)
        output.print(
            f"tigr-monitor monitors a simulated TIGR on this machine. Open\n\n    http://{listen.reachable}/\n\n"
            f"for the status page, and http://{listen.reachable}/metrics for the metrics.\n"
        )
        if not harness.start():
            return _end(harness, output, "The monitor does not respond.")
        if seconds is not None:
            timer = threading.Timer(seconds, stopped.set)
            timer.daemon = True
            timer.start()
            resources.callback(timer.cancel)
        output.print(f"The first incident begins in {FIRST_PAUSE:.0f} s; others follow. Ctrl-C stops the demo.\n")
        _run_scenario(harness, output)
        return _end(harness, output, "")


class _Output:
    """Standard output of the demo. If nothing reads it, the text is lost, and signals still stop the demo."""

    def __init__(self, stopped: threading.Event) -> None:
        self._writer = QueuedWriter(sys.stdout.fileno())
        self._stopped = stopped

    def print(self, text: str) -> None:
        """Print `text`. If that fails, for example because the reader of a pipe has left, stop the demo."""
        self._writer.put(f"{text}\n".encode(sys.stdout.encoding, "backslashreplace"))
        self._writer.flush(_PRINT_TIMEOUT)
        if self._writer.error is not None:
            self._stopped.set()

    def check(self) -> None:
        """Raise `OutputError` if the text could not be written, unless the reader of a pipe has left."""
        error = self._writer.error
        if error is not None and not isinstance(error, BrokenPipeError):
            raise OutputError(error.strerror)


def _run_scenario(harness: DemoHarness, output: _Output) -> None:
    """Run the incidents of the scenario in a loop until the demo stops."""
    from monitor.simulator.demo.scenario import PAUSE, SCENARIO

    began = time.monotonic()
    harness.stopped.wait(FIRST_PAUSE)
    while not harness.stopped.is_set():
        for incident in SCENARIO:
            _announce(incident, time.monotonic() - began, output)
            for seconds in incident.script(harness):
                if harness.stopped.wait(seconds):
                    return
            if harness.stopped.wait(PAUSE):
                return
        output.print("The scenario is complete, and all faults are cleared. It starts again.\n")


def _announce(incident: Incident, elapsed: float, output: _Output) -> None:
    series = [f"          {line}" for line in incident.series]
    output.print("\n".join([f"{elapsed:3.0f} s {incident.text}", *series, ""]))


def _end(harness: DemoHarness, output: _Output, failure: str) -> int:
    """Print the result of the demo and return its exit status."""
    if harness.exit_status is not None:
        return _fail(f"The monitor has exited with status {harness.exit_status}.")
    if failure and not harness.stopped.is_set():
        return _fail(failure)
    output.print("The demo has stopped.")
    output.check()
    return 0


def _unavailable(host: str, port: int) -> str:
    """Return the reason why the monitor cannot listen on this address; empty if it can."""
    if port == 0:
        return "the demo needs a fixed port"
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen()  # fails for a port that another process has bound without listening
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _fail(text: str, *, status: int = 1) -> int:
    print_error(text)
    return status
