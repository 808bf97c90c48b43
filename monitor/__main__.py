"""Run the command `tigr-monitor`, also as `python -m monitor`."""

import gc
import os
import signal
import sys
import types


def main() -> int:
    """Run the command and return its exit status; `run` ends the process instead.

    The daemon ignores SIGHUP and SIGUSR1 before anything else is imported, which takes a second on a slow machine: by
    default, both end the process. `monitor.service.signals` handles them before the settings are loaded.
    """
    is_daemon = sys.argv[1:2] == ["run"]
    if is_daemon:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end_start)
        gc.disable()  # until the daemon has started: collections during the imports take a tenth of their time
    try:
        from monitor.cli import main as command
        from monitor.output.process_exit import end_process  # now: without a free descriptor, an import fails

        status = command()
    except KeyboardInterrupt:  # during the imports
        return 1
    if is_daemon:
        end_process(status)
    return status


def _end_start(_number: int, _frame: types.FrameType | None) -> None:
    """End the process with status 0 during its start, when there is nothing to stop yet.

    The kernel ignores a signal without a handler if the process is the first one of a container.
    """
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
