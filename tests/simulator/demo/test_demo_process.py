"""The demo as a newcomer runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.process import clean, command, free_port


def test_a_newcomer_sees_it_work(tmp_path: Path) -> None:
    """The monitor logs in and pings, the first incident is announced and seen, and all ends in order."""
    demo = subprocess.run(
        command("demo", "--listen", f"127.0.0.1:{free_port()}", "--seconds", "11"),
        env=clean({}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    assert "/metrics" in demo.stdout
    assert "prod: the ping is answered 500." in demo.stdout
    assert demo.stdout.endswith("The demo ends.\n")
    for line in ("prod: login works", "uat: ping works", "prod: ping failed: server_error", "stopping"):
        assert line in demo.stderr
    assert "internal" not in demo.stderr
