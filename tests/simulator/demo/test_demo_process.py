"""The demo as a process."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.process import clean, command, free_port


def test_the_demo_shows_the_monitor_and_the_first_incident(tmp_path: Path) -> None:
    """The monitor logs in and pings, the first incident is announced and logged, and the demo exits with status 0."""
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
    assert "prod: the ping gets status 500." in demo.stdout
    assert demo.stdout.endswith("The demo has stopped.\n")
    for line in ("prod: login works", "uat: ping works", "prod: ping failed: server_error", "stopping"):
        assert line in demo.stderr
    assert "reason=internal" not in demo.stderr
