"""A program on a pseudo-terminal: a test types replies to its prompts, and sees all that the terminal shows."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.process import PATIENCE

INTERRUPT = "\x03"  # Ctrl-C, in place of a reply


def run_on_terminal(
    command: Sequence[str],
    replies: Sequence[tuple[str, str]],
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> tuple[int, str]:
    """Run a command; type each reply and Enter when its prompt has appeared; return the status and the terminal.

    A prompt has appeared when its text is the end of the output and the program waits for a line without an echo, or
    with one.
    """
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        cwd=directory,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - the test has no other threads
    )
    os.close(theirs)
    shown = ""
    try:
        for prompt, reply in replies:
            shown = _read_until(ours, shown, prompt)
            os.write(ours, (reply if reply == INTERRUPT else f"{reply}\n").encode())
            shown += "\0"  # the next prompt comes after this place
        shown = _read_until(ours, shown, None)
        return process.wait(PATIENCE), shown.replace("\0", "")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def _read_until(descriptor: int, shown: str, prompt: str | None) -> str:
    """Read until the prompt is the end of the output since the last reply; without a prompt, until the program ends."""
    deadline = time.monotonic() + 2 * PATIENCE
    while prompt is None or not shown.rpartition("\0")[2].endswith(prompt):
        assert time.monotonic() < deadline, f"{prompt!r} does not appear: {shown!r}"
        if not select.select([descriptor], [], [], 1.0)[0]:
            continue
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # EIO: the program has closed the terminal
            data = b""
        if not data:
            assert prompt is None, f"{prompt!r} does not appear: {shown!r}"
            return shown
        shown += data.decode(errors="replace").replace("\r\n", "\n")
    return shown
