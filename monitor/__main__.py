"""Run the command `tigr-monitor`, also as `python -m monitor`."""

import signal
import sys


def main() -> int:
    """Run the command and return its exit status.

    The daemon ignores SIGHUP and SIGUSR1 before anything else is imported, which takes a second on a slow machine: by
    default, both end the process. `monitor.service.signals` handles them before the settings are loaded.
    """
    if sys.argv[1:2] == ["run"]:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
    from monitor.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
