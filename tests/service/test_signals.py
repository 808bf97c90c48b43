"""Signals to the daemon: from the start of its own code on, to any of its threads, and many at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.service.signals import RequestThread, SignalRequest, SignalRequests
from monitor.simulator import Simulator
from tests.support.checkout import ROOT
from tests.support.process import PATIENCE, Monitor, clean, command, free_port, get, status, wait_for

# Calls `signal.signal` of the command, and prints the modules of the project that were loaded at the first call.
RECORDING = """
import runpy, signal, sys
def record(number, handler):
    loaded = [name for name in sys.modules if name.split(".")[0] == "monitor"]
    print(signal.Signals(number).name, handler is signal.SIG_IGN, *loaded, flush=True)
signal.signal = record
sys.argv = ["tigr-monitor", *sys.argv[1:]]
runpy.run_module("monitor", run_name="__main__")
"""

# Python imports this module at its start. The import of one module then blocks.
BLOCKED = """
import os, sys, threading

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == %r:
            os.mkdir(%r)
            threading.Event().wait(120)

sys.meta_path.insert(0, Blocked())
"""

# Python imports this module at its start. Python's finalization of the interpreter begins with `threading._shutdown`.
FINALIZED = """
import atexit, os, threading

threading._shutdown = lambda: os.mkdir("finalized")
atexit.register(os.mkdir, "registered")
"""

SCRIPT = "import sys; from monitor.__main__ import main; sys.exit(main())"  # as the installed command does


def wait_for_disposition(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Wait until the process ignores or handles the signal."""
    bit = 1 << (number - 1)
    wait_for(
        lambda: any(int(status(process.pid)[field], 16) & bit for field in ("SigIgn", "SigCgt")),
        f"{number.name} does not end the process",
    )


def test_signals_are_ignored_before_any_module_of_the_project_is_imported() -> None:
    """The package itself contains only its version."""
    recorded = subprocess.run(
        [sys.executable, "-c", RECORDING, "run"], cwd=ROOT, env=clean({}), capture_output=True, text=True, check=False
    )
    first = [line.split() for line in recorded.stdout.splitlines()[:2]]
    assert [line[0] for line in first] == ["SIGHUP", "SIGUSR1"]
    assert all(line[1:] == ["True", "monitor"] for line in first)


def test_a_command_other_than_run_keeps_the_default_of_the_signals() -> None:
    """A terminal that closes ends the command."""
    recorded = subprocess.run(
        [sys.executable, "-c", RECORDING, "config"],
        cwd=ROOT,
        env=clean({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert recorded.stdout == ""


@pytest.mark.parametrize("module", ["-m", "-c"])
def test_signals_during_the_start_end_nothing_and_cause_one_reload_and_one_login_request(
    module: str, tmp_path: Path
) -> None:
    """They are sent without a pause from the first moment at which the code of the project can handle them."""
    entry = command("run") if module == "-m" else [sys.executable, "-c", SCRIPT, "run"]
    port = free_port()
    log = tmp_path / "log"
    with Simulator(["prod"]) as simulator, log.open("wb") as output:
        environ = clean(simulator.settings() | {"TIGR_LISTEN": f"127.0.0.1:{port}"})
        process = subprocess.Popen(entry, env=environ, stdout=output, stderr=output)
        try:
            for number in (signal.SIGHUP, signal.SIGUSR1):
                wait_for_disposition(process, number)
            deadline, sent = time.monotonic() + PATIENCE, 0
            while not responds(port) and process.poll() is None and time.monotonic() < deadline:
                for _ in range(50):
                    process.send_signal(signal.SIGHUP)
                    process.send_signal(signal.SIGUSR1)
                sent += 1
            assert process.poll() is None, log.read_text()
            assert sent
            wait_for(lambda: "reloaded: no changes" in log.read_text(), "the reload")
            wait_for(lambda: "SIGUSR1" in log.read_text(), "the login request")
            assert responds(port)
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def responds(port: int) -> bool:
    """Return whether the web server of the monitor responds."""
    try:
        return get(port, "/-/ready")[0] in (200, 503)
    except OSError:
        return False


def test_the_exit_of_the_daemon_does_not_finalize_the_interpreter(tmp_path: Path) -> None:
    """A daemon thread that returns from an extension module meanwhile could abort the process or block its exit."""
    (tmp_path / "sitecustomize.py").write_text(FINALIZED)
    port = free_port()
    for arguments, created in (("--version", {"finalized", "registered"}), ("run", {"registered"})):
        directory = tmp_path / arguments
        directory.mkdir()
        with Simulator(["prod"]) as simulator:
            environ = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "TIGR_LISTEN": f"127.0.0.1:{port}"}
            process = subprocess.Popen(
                command(arguments),
                cwd=directory,
                env=clean(simulator.settings() | environ),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if arguments == "run":
                wait_for(lambda: responds(port) and get(port, "/-/ready")[0] == 200, "a login")
                process.terminate()
            assert process.wait(PATIENCE) == 0
        assert {path.name for path in directory.iterdir()} == created


def signalled(arguments: str, module: str, number: signal.Signals, directory: Path) -> tuple[int, bytes]:
    """Send a signal to a command while it imports `module`; return its status and its output."""
    begun = directory / "begun"
    (directory / "sitecustomize.py").write_text(BLOCKED % (module, str(begun)))
    environ = clean({"PYTHONPATH": f"{directory}:{ROOT}"})
    process = subprocess.Popen(command(arguments), env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for(begun.exists, "the import")
        process.send_signal(number)
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("module", ["monitor.cli", "monitor.service.supervisor"])
def test_a_signal_during_the_start_ends_the_daemon_with_status_0(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    """It is handled, because the kernel ignores a signal without a handler in the first process of a container."""
    assert signalled("run", module, number, tmp_path) == (0, b"")


def test_an_interrupt_during_the_imports_of_a_command_is_silent(tmp_path: Path) -> None:
    """Ctrl-C shows no traceback."""
    assert signalled("check", "monitor.cli", signal.SIGINT, tmp_path) == (1, b"")


@pytest.fixture
def restored_handlers() -> Iterator[None]:
    """Restore the handlers of this process after a test that replaces them."""
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.close(signal.set_wakeup_fd(-1))


@pytest.mark.usefixtures("restored_handlers")
@pytest.mark.parametrize("number,wanted", [(signal.SIGTERM, SignalRequest.STOP), (signal.SIGHUP, SignalRequest.RELOAD)])
def test_a_signal_that_another_thread_receives_is_handled(number: signal.Signals, wanted: SignalRequest) -> None:
    """The kernel chooses the thread. The wait of the main thread ends nevertheless."""
    requests = SignalRequests()
    requests.install_stop()
    main, received = threading.main_thread().ident, threading.Event()
    assert main is not None

    def fail(*_: object) -> None:
        raise AssertionError("the main thread waits on")

    signal.signal(signal.SIGALRM, fail)

    def send() -> None:
        wait_for(lambda: sys._current_frames()[main].f_code.co_name == "get", "the main thread waits")
        signal.pthread_kill(threading.get_ident(), number)
        if not received.wait(15):
            signal.pthread_kill(main, signal.SIGALRM)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert requests.get() is wanted
    finally:
        received.set()
        sender.join()


def test_any_number_of_requests_during_a_task_cause_one_more_task() -> None:
    """No request starts a thread, and another kind of request is handled too."""
    running, proceed, done = threading.Event(), threading.Event(), threading.Event()
    handled: list[str] = []

    def reload() -> None:
        handled.append("reload")
        running.set()
        assert proceed.wait(PATIENCE)

    def log_in() -> None:
        handled.append("log in")
        done.set()

    requests = RequestThread({SignalRequest.RELOAD: reload, SignalRequest.LOG_IN: log_in})
    threads = threading.active_count()
    requests.add(SignalRequest.RELOAD)
    assert running.wait(PATIENCE)
    for _ in range(100):
        requests.add(SignalRequest.RELOAD)
    requests.add(SignalRequest.LOG_IN)
    assert threading.active_count() == threads
    proceed.set()
    assert done.wait(PATIENCE)
    assert handled == ["reload", "reload", "log in"]


def test_a_task_that_fails_does_not_end_the_handling_of_requests(caplog: pytest.LogCaptureFixture) -> None:
    """The log has the type of the exception without its text."""
    done = threading.Event()

    def fail() -> None:
        raise RuntimeError("a secret")

    requests = RequestThread({SignalRequest.RELOAD: fail, SignalRequest.LOG_IN: done.set})
    requests.add(SignalRequest.RELOAD)
    requests.add(SignalRequest.LOG_IN)
    assert done.wait(PATIENCE)
    assert caplog.messages == ["the request reload failed: internal error"]
    assert "a secret" not in caplog.text


def test_a_hundred_signals_are_at_most_two_reloads_per_second_and_one_thread(tmp_path: Path) -> None:
    """Reloads start at least a second apart, so a burst within a second causes two."""
    with Simulator(["prod"]) as simulator:
        quiet = {"TIGR_PING_INTERVAL": "5m", "TIGR_AUTH_INTERVAL": "5m", "TIGR_TOKEN_HOST_CHECK": "off"}
        with Monitor(simulator.settings() | quiet, tmp_path) as monitor:
            monitor.wait_for(1, "tigr_up", environment="prod", endpoint="ping")
            monitor.process.send_signal(signal.SIGUSR1)
            monitor.wait_for_log("SIGUSR1: no login is delayed")
            before = threads = int(status(monitor.process.pid)["Threads"])
            pause, began = threading.Event(), time.monotonic()
            for _ in range(100):
                os.kill(monitor.process.pid, signal.SIGHUP)
                pause.wait(0.003)  # the kernel merges signals that follow at once
                threads = max(threads, int(status(monitor.process.pid)["Threads"]))
            seconds = time.monotonic() - began
            monitor.process.send_signal(signal.SIGUSR1)  # it is handled after the reloads
            wait_for(lambda: monitor.log().count("SIGUSR1: no login is delayed") == 2, "all requests are handled")
            assert 1 <= monitor.log().count("reloaded: ") <= 2 + seconds
            assert threads <= before + 1


def test_an_exit_during_a_reload_is_a_normal_one(tmp_path: Path) -> None:
    """The reload loads CA certificates for so long that the process ends meanwhile, and writes the end of its log."""
    with Simulator(("prod",)) as simulator:
        anchors = tmp_path / "anchors.pem"
        anchors.write_bytes(simulator.ca_file.read_bytes() * 2000)
        settings = simulator.settings() | {"TIGR_CA_FILE": str(anchors)}
        for _ in range(2):
            with Monitor(settings, tmp_path) as monitor:
                monitor.process.send_signal(signal.SIGHUP)
                assert monitor.stop() == 0
                # A login in progress may end, and be logged, after this line.
                assert [line for line in monitor.log().splitlines() if line.endswith(" level=info msg=stopping")]
