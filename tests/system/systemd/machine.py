"""A Debian with systemd as its process 1, in a container that shares this machine's network."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.process import wait_for
from tests.support.terminal import run_on_terminal

_PATIENCE = 60.0  # seconds
_NUMBERS = itertools.count()  # of the machines of this process: two may run at once
_CGROUPS = Path("/sys/fs/cgroup")
# A separate mount namespace with control groups of version 2 only, which newer systemd versions require. The container
# gets a separate group and needs no manager for it.
_BOOT = """
set -e
umount --recursive --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ > "/sys/fs/cgroup/$1/cgroup.procs"
mkdir -p /run/systemd
mount -t tmpfs -o mode=755 tmpfs /run/systemd
exec systemd-nspawn --quiet --boot --directory="$2" --machine="$1" --register=no --keep-unit --console=pipe \
    --resolv-conf=copy-host --timezone=off --link-journal=no --capability=CAP_BPF --system-call-filter=bpf \
    systemd.show_status=no
"""


class Machine:
    """A running Debian."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self.variables: list[str] = []  # additional ones, for every script
        self.files: dict[str, str] = {}  # before the installation
        self.processes = Path(f"/proc/{leader}/root/proc")
        self._leader = leader

    def run(self, script: str, typed: str = "", *, check: bool = True) -> str:
        """Run a script as root with `typed` as its input; return stdout and stderr together."""
        ended = subprocess.run(
            self._command(script),
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0 or not check, f"status {ended.returncode} of\n{script}\n{ended.stdout}"
        return ended.stdout

    def run_on_terminal(self, script: str, replies: Sequence[tuple[str, str]]) -> tuple[int, str]:
        """Run a script as root on a terminal, type the replies to its prompts, and return status and terminal."""
        return run_on_terminal(self._command(script), replies)

    def _command(self, script: str) -> list[str]:
        variables = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        variables += self.variables
        enter = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        return [*enter, "env", "-i", *variables, "SYSTEMD_PAGER=", "bash", "-e", "-c", script]

    def property(self, name: str, unit: str = "tigr-monitor") -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --value --property={name} {unit}").strip()

    def journal(self, unit: str = "tigr-monitor") -> str:
        """Return the log of a unit since the start of the machine."""
        return self.run(f"journalctl --quiet --unit={unit} --output=cat")


@contextmanager
def booted(root: Path, log: Path) -> Iterator[Machine]:
    """Boot the Debian in `root`; shut it down at the end of the block."""
    name = f"tigr-{os.getpid()}-{next(_NUMBERS)}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", _BOOT, "_", name, root],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(lambda: process.poll() is not None or _leader(process.pid), "systemd runs", _PATIENCE)
        assert process.poll() is None, log.read_text(errors="replace")
        machine = Machine(root, _leader(process.pid))
        wait_for(
            lambda: machine.run("systemctl is-system-running", check=False).strip() in ("running", "degraded"),
            "the machine has started",
            _PATIENCE,
        )
        yield machine
    finally:
        process.terminate()  # shuts the machine down
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _remove_groups(name)


def _leader(nspawn: int) -> int:
    """Return the PID of the systemd that is process 1 of the container; 0 if there is none yet."""
    for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
        with suppress(OSError):
            status = Path(f"/proc/{child}/status").read_text()
            pids = next(line.split() for line in status.splitlines() if line.startswith("NSpid:"))
            if pids[-1] == "1" and "Name:\tsystemd\n" in status:
                return int(child)
    return 0


def _remove_groups(name: str) -> None:
    """Remove the remaining control groups of the container."""
    for top in (_CGROUPS / name, _CGROUPS / "unified" / name):
        for folder, _, _ in list(os.walk(top, topdown=False)):
            with suppress(OSError):
                for pid in Path(folder, "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                Path(folder).rmdir()
