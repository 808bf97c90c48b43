"""The daemon under real limits: it reports what it lacks as internal, goes on, and dumps no secrets."""

from __future__ import annotations

import contextlib
import http.client
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from monitor.model import Reason
from monitor.simulator import Simulator
from monitor.simulator.faults import HangAfterHandshake
from tests.support.harness import value
from tests.support.process import PATIENCE, Monitor, clean, command, wait_for

FAST = {"TIGR_PING_INTERVAL": "1s", "TIGR_AUTH_INTERVAL": "5s", "TIGR_CONFIRM_INTERVAL": "1s", "TIGR_TIMEOUT": "5s"}
PING = {"environment": "prod", "endpoint": "ping"}
PROCESS_METRICS = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
)
VENDOR = sorted(set(Reason) - {Reason.INTERNAL})
UNPRIVILEGED = """
import os
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from monitor.service.process_limits import forbid_core_dumps

registry = CollectorRegistry()
ProcessCollector(registry=registry)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
forbid_core_dumps()
assert os.stat("/proc/self/environ").st_uid == 0, "the files of a process that is not dumpable belong to root"
print(generate_latest(registry).decode())
"""
WITHOUT_THREADS = """
import os, sys, threading

start = threading.Thread.start

def limited(thread):
    if os.path.exists(os.environ["SHORTAGE"]):
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = limited
from monitor.__main__ import main
sys.exit(main())
"""
COMMAND = """
import ctypes, os, sys
from monitor.cli import main

try:
    main(sys.argv[1:])
except SystemExit:
    pass
shown = f"{ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)} {open('/proc/self/limits').read()}"
os.write(3, shown.encode())  # the daemon has replaced the standard streams
"""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Provide one environment without latency."""
    with Simulator(("prod",)) as running:
        running.environment("prod").latency = 0.0
        yield running


@contextlib.contextmanager
def own_limit(soft: int) -> Iterator[int]:
    """Change the soft limit of open files of this process, which its children inherit; yield the hard limit."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    try:
        yield hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


class KeptScrape:
    """Scrapes on one connection, so that it needs no new descriptor of the daemon."""

    def __init__(self, monitor: Monitor) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", monitor.port, timeout=15)
        self.page()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def page(self) -> str:
        """Return the metrics."""
        self._connection.request("GET", "/metrics")
        return self._connection.getresponse().read().decode()

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series."""
        return value(self.page(), name, **labels)

    def outcomes(self, *outcomes: str) -> float:
        """Return the number of requests with one of these outcomes, of both endpoints."""
        page = self.page()
        counts = [
            value(page, "tigr_requests_total", environment="prod", endpoint=endpoint, outcome=outcome)
            for endpoint in ("token", "ping")
            for outcome in outcomes
        ]
        return sum(count or 0.0 for count in counts)


def last_successes(monitor: Monitor, names: Sequence[str]) -> list[float]:
    """Return the Unix time of the last successful ping of each environment."""
    page = monitor.metrics()
    series = "tigr_last_success_timestamp_seconds"
    return [value(page, series, environment=name, endpoint="ping") or 0.0 for name in names]


def test_a_start_with_too_few_descriptors_ends_with_the_limit(simulator: Simulator) -> None:
    """Every limit below the one with which the daemon runs is named; with status 2 if a setting names the file."""
    environ = clean(simulator.settings() | {"TIGR_LISTEN": "127.0.0.1:0"})
    for name in [name for name in environ if name.startswith("COVERAGE")]:
        del environ[name]  # without a descriptor, coverage prints a traceback at the exit
    for limit in range(5, 20):
        arguments = ["bash", "-c", f'ulimit -n {limit}; exec "$@"', "bash", *command("run")]
        process = subprocess.Popen(arguments, env=environ, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            if "monitors prod" in first:
                break
            output = first + process.stderr.read()
            assert process.wait(PATIENCE) == (2 if "TIGR_CA_FILE" in output else 1)
            assert "this machine has no free file descriptor for the monitor" in output
            assert "Traceback" not in output
        finally:
            process.kill()
            process.communicate()
    assert limit > 5
    assert "monitors prod" in first


def test_the_soft_limit_of_descriptors_is_raised(simulator: Simulator, tmp_path: Path) -> None:
    """The limit is the hard one, at most 4096."""
    with own_limit(256) as hard, Monitor(simulator.settings() | FAST, tmp_path) as monitor:
        wanted = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
        assert monitor.value("process_max_fds") == wanted


def test_1200_connections_at_once_cost_no_ping(simulator: Simulator, tmp_path: Path) -> None:
    """The daemon stays below 400 descriptors, accepts without a failure, and goes on to ping and to respond."""
    with (
        own_limit(4096) as hard,
        Monitor(simulator.settings() | FAST, tmp_path) as monitor,
        contextlib.ExitStack() as stack,
    ):
        if hard != resource.RLIM_INFINITY and hard < 1500:
            pytest.skip("the hard limit of descriptors is below 1500")
        monitor.wait_for(1, "tigr_up", **PING)
        resource.prlimit(monitor.process.pid, resource.RLIMIT_NOFILE, (400, hard))
        clients = []
        for _ in range(1200):
            client = stack.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(("127.0.0.1", monitor.port))
            clients.append(client)
        pings = simulator.log.requests("prod", "api")
        simulator.log.wait_for_requests(pings + 3, environment="prod", host="api")
        assert monitor.get("/-/healthy")[0] == 200
        outcomes = monitor.metrics()
        assert "cannot accept" not in monitor.log()
        failed = [reason for reason in Reason if value(outcomes, "tigr_requests_total", **PING, outcome=reason.value)]
        assert failed == []
        assert value(outcomes, "tigr_up", **PING) == 1


def test_a_lack_of_descriptors_is_internal_until_it_ends(simulator: Simulator, tmp_path: Path) -> None:
    """No other reason is counted, no login or ping is down, and the next probe with a descriptor works again."""
    with Monitor(simulator.settings() | FAST, tmp_path) as monitor, contextlib.ExitStack() as stack:
        monitor.wait_for(1, "tigr_up", **PING)
        scrape = stack.enter_context(contextlib.closing(KeptScrape(monitor)))
        before = resource.prlimit(monitor.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(monitor.process.pid, resource.RLIMIT_NOFILE, (1, before[1]))
        wait_for(lambda: scrape.outcomes("internal") >= 4, "internal failures")
        assert scrape.value("tigr_up", **PING) is None
        assert scrape.value("tigr_failure", **PING, reason="internal") == 1
        assert scrape.value("tigr_consecutive_failures", **PING) == 0
        resource.prlimit(monitor.process.pid, resource.RLIMIT_NOFILE, before)
        wait_for(lambda: scrape.value("tigr_up", **PING) == 1, "the ping works again")
        assert scrape.outcomes(*VENDOR) == 0
        monitor.wait_for_log("could not be measured: internal")
        monitor.wait_for_log("this machine has no free file descriptor for the monitor")
        assert monitor.stop() == 0


def test_a_lack_of_threads_ends_nothing(tmp_path: Path) -> None:
    """Runs whose threads cannot start are internal, and the daemon works again when they can.

    The daemon runs with a `Thread.start` that fails while a file exists, as it fails if the system has no thread left.
    """
    names, shortage = tuple(f"env{number}" for number in range(8)), tmp_path / "shortage"
    arguments = [sys.executable, "-c", WITHOUT_THREADS, "run"]
    with Simulator(names) as simulator:
        settings = simulator.settings() | FAST | {"SHORTAGE": str(shortage)}
        with Monitor(settings, tmp_path, arguments=arguments) as monitor:
            for name in names:
                monitor.wait_for(1, "tigr_up", environment=name, endpoint="ping")
            hosts = simulator.environments.values()
            hanging = [faults for host in hosts for faults in (host.api_faults, host.token_faults)]
            shortage.touch()
            for faults in hanging:  # more runs than the daemon has threads
                faults.set(HangAfterHandshake())
            wait_for(lambda: "starts no further thread" in monitor.log(), "a run without a thread")
            for number in (signal.SIGHUP, signal.SIGUSR1):
                monitor.process.send_signal(number)
            wait_for(lambda: "reloaded" in monitor.log(), "the outcome of the reload")
            for faults in hanging:
                faults.clear()
            shortage.unlink()
            restored = time.time()
            wait_for(lambda: min(last_successes(monitor, names)) > restored, "every ping works after the shortage")
            assert monitor.stop() == 0


def test_the_process_metrics_stay_without_core_dumps(simulator: Simulator, tmp_path: Path) -> None:
    """The limit of core dumps is 0, and the daemon can read its own files in /proc."""
    with Monitor(simulator.settings() | FAST, tmp_path) as monitor:
        page = monitor.metrics()
        limits = Path(f"/proc/{monitor.process.pid}/limits").read_text()
    assert [name for name in PROCESS_METRICS if value(page, name) is None] == []
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_an_unprivileged_process_keeps_its_metrics() -> None:
    """The files of the process in /proc belong to root then, but it may read its own."""
    arguments = [sys.executable, "-c", UNPRIVILEGED]
    page = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=50).stdout
    assert [name for name in PROCESS_METRICS if not re.search(rf"^{name} ", page, re.MULTILINE)] == []


@pytest.mark.parametrize("command", ["run", "check", "config"])
def test_no_command_that_loads_secrets_dumps_core(command: str, tmp_path: Path) -> None:
    """The flag PR_GET_DUMPABLE and the limit are 0 before the settings are read: these are missing."""
    with (tmp_path / "shown").open("w+b") as shown:
        arguments = ["bash", "-c", 'exec "$0" -c "$1" "$2" 3>&1 >/dev/null 2>&1', sys.executable, COMMAND, command]
        subprocess.run(arguments, stdout=shown, check=True, timeout=50, env={"PATH": "/usr/bin:/bin"})
        shown.seek(0)
        text = shown.read().decode()
    assert text.startswith("0 ")
    assert re.search(r"Max core file size +0 +0 ", text)
