"""Steps of the wall clock under the running daemon."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from tests.support.process import Monitor, wait_for

pytestmark = pytest.mark.system
HOUR, DAY = 3600, 86400
PING = {"environment": "prod", "endpoint": "ping"}
FAST = {"TIGR_PING_INTERVAL": "1s", "TIGR_AUTH_INTERVAL": "1h", "TIGR_TIMEOUT": "30s"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of one environment, with tokens that last one hour."""
    with Simulator(("prod",)) as running:
        running.environment("prod").latency = 0.0
        yield running


def library() -> str:
    """Return the path of the library that `faketime` preloads; the command itself would fix the offset."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed")
    printed = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=True)
    return next(line.partition("=")[2] for line in printed.stdout.splitlines() if line.startswith("LD_PRELOAD="))


@pytest.mark.parametrize("step", [HOUR, -HOUR, DAY, -DAY])
def test_a_step_of_the_wall_clock_changes_only_the_offset(step: int, simulator: Simulator, tmp_path: Path) -> None:
    """The next ping comes soon, without a burst and without a login, and the offset shows the step."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    fake = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Monitor(simulator.settings() | FAST | fake, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PING)
        pings = simulator.log.requests("prod", "api")
        headroom = monitor.value("tigr_token_expiry_headroom_seconds", environment="prod")
        assert headroom is not None
        missed = monitor.value("tigr_schedule_missed_total", **PING) or 0
        began = time.monotonic()
        offset.write_text(f"{step:+d}")
        simulator.log.wait_for_requests(pings + 1, 20.0, environment="prod", host="api")
        simulator.log.wait_for_requests(pings + 4, environment="prod", host="api")
        elapsed = time.monotonic() - began
        wait_for(
            lambda: abs((monitor.value("tigr_clock_offset_seconds", environment="prod") or 0) + step) < 60,
            "the offset shows the step",
        )
        assert simulator.log.requests("prod", "api") <= pings + elapsed + 3
        assert simulator.log.requests("prod", "token") == 1
        later = monitor.value("tigr_token_expiry_headroom_seconds", environment="prod")
        assert later is not None
        assert 0 < headroom - later < 60
        assert monitor.value("tigr_up", **PING) == 1
        # A busy machine skips runs too, but not more than the interval permits.
        assert (monitor.value("tigr_schedule_missed_total", **PING) or 0) - missed <= time.monotonic() - began + 3
        assert monitor.stop() == 0
