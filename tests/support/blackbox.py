"""The blackbox_exporter of Debian, started with the modules of a test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.process import free_port, get, wait_for

PROGRAM = "prometheus-blackbox-exporter"


@contextmanager
def running(modules: Mapping[str, object], directory: Path) -> Iterator[tuple[int, int]]:
    """Run blackbox_exporter; yield its port and its process ID."""
    config = directory / "blackbox.yml"
    config.write_text(json.dumps({"modules": modules}), encoding="utf-8")  # JSON is YAML
    port = free_port()
    arguments = [PROGRAM, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)

    def responds() -> bool:
        try:
            return get(port, "/-/healthy")[0] == 200
        except OSError:
            return False

    try:
        wait_for(responds, f"{PROGRAM} responds")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()
