"""The real command as a process: start it, scrape it, send it signals, read its log."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.harness import value

PATIENCE = 60.0  # seconds: long, so that a busy machine fails no test
MIN_PAUSE, MAX_PAUSE = 0.02, 0.25  # seconds between two looks at a condition


def run(arguments: list[str], environ: Mapping[str, str], timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends."""
    return subprocess.run(
        command(*arguments), env=clean(environ), capture_output=True, text=True, timeout=timeout, check=False
    )


def command(*arguments: str) -> list[str]:
    """Return the command line of `tigr-monitor` with this Python."""
    return [sys.executable, "-m", "monitor", *arguments]


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with the variables that a process needs, without those that configure the monitor."""
    kept = ("PATH", "HOME", "LANG", "LD_PRELOAD", "FAKETIME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    return {name: os.environ[name] for name in kept if name in os.environ} | dict(environ)


_assigned_ports: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now, a different one at each call.

    It is below the range from which Linux assigns ports, so no other process is given it before it is used.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)  # not `random`: hypothesis seeds it equally in every process
        if port in _assigned_ports:
            continue
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            _assigned_ports.add(port)
            return port


def get(port: int, path: str, accept: str = "") -> tuple[int, str]:
    """Return status and body of a page from 127.0.0.1. Raises `OSError` if no server listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def status(pid: int) -> dict[str, str]:
    """Return the fields of proc_pid_status(5) of a process."""
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def wait_for(condition: Callable[[], object], name: str, timeout: float = PATIENCE) -> None:
    """Wait until `condition` returns a true value; fail with its `name` after `timeout` seconds.

    The pauses grow with the time that has passed, because a condition may cost a scrape of the monitor.
    """
    began = time.monotonic()
    pause = threading.Event()
    while not condition():
        waited = time.monotonic() - began
        assert waited < timeout, f"{name}: not within {timeout:g} s"
        pause.wait(min(max(MIN_PAUSE, waited / 4), MAX_PAUSE))


class Monitor:
    """A process of `tigr-monitor run` that runs inside `with`."""

    def __init__(
        self,
        environ: Mapping[str, str],
        directory: Path,
        *,
        output: int | None = None,
        redirection: str = "",
        arguments: Sequence[str] = (),
    ) -> None:
        """Write standard output and error to the descriptor `output`, or to a file; the shell adds `redirection`.

        `arguments` are the command line instead of `command("run")`.
        """
        self._arguments = list(arguments) or command("run")
        self._output = output
        self._redirection = redirection
        self.port = free_port()
        self.log_file = directory / f"monitor-{self.port}.log"
        self._environ = clean({"TIGR_LISTEN": f"127.0.0.1:{self.port}"} | dict(environ))
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, exception: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def start(self) -> None:
        """Start the process and wait until its web server responds."""
        with self.log_file.open("ab") as log:
            arguments = self._arguments
            if self._redirection:
                arguments = ["sh", "-c", f'exec "$@" {self._redirection}', "sh", *arguments]
            output = log.fileno() if self._output is None else self._output
            self.process = subprocess.Popen(arguments, env=self._environ, stdout=output, stderr=output)
        wait_for(lambda: self.process.poll() is not None or self.responds(), "the monitor responds")
        assert self.process.poll() is None, self.log()

    def stop(self) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        """Return the log."""
        return self.log_file.read_text()

    def responds(self) -> bool:
        """Return whether the web server responds."""
        try:
            return bool(self.get("/-/healthy")[0])
        except OSError:
            return False

    def get(self, path: str, accept: str = "") -> tuple[int, str]:
        """Return status and body of a page."""
        return get(self.port, path, accept)

    def metrics(self) -> str:
        """Return the metrics of one scrape."""
        status, text = self.get("/metrics")
        assert status == 200
        return text

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series of a scrape; None if it does not exist."""
        return value(self.metrics(), name, **labels)

    def wait_for(self, wanted: float, name: str, **labels: str) -> None:
        """Scrape until a series has the value `wanted`."""
        wait_for(lambda: self.value(name, **labels) == wanted, f"{name}{labels} is {wanted}")

    def wait_for_log(self, text: str, timeout: float = PATIENCE) -> None:
        """Wait until the log contains `text`."""
        wait_for(lambda: text in self.log(), f"the log contains {text!r}", timeout)
