"""The first look at the metrics in the runbook: it prints what is not well, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support import documents
from tests.support.process import Monitor

pytestmark = pytest.mark.needs("bash", "curl", "awk")

(COMMAND,) = (block for block in documents.blocks(documents.text("prometheus/RUNBOOK.md")) if "/metrics" in block)
NETWORKS = ("tigr_token_host_reachable", "tigr_api_reachable")


def first_look(monitor: Monitor) -> tuple[int, list[str], str]:
    """Run the documented command for this monitor; return its status, its lines and its errors."""
    command = COMMAND.replace("127.0.0.1:9844", f"127.0.0.1:{monitor.port}")
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.splitlines(), ended.stderr


def test_the_first_look_at_metrics_shows_only_what_is_not_well(tmp_path: Path) -> None:
    """Nothing while all is well; then the series of the failing ping; then a message that nothing could be read."""
    with Simulator() as simulator, Monitor(simulator.settings() | {"TIGR_PING_INTERVAL": "2s"}, tmp_path) as monitor:
        for environment in ("prod", "uat"):
            for endpoint in ("token", "ping"):
                monitor.wait_for(1, "tigr_up", environment=environment, endpoint=endpoint)
            for name in NETWORKS:
                monitor.wait_for(1, name, environment=environment)
        assert first_look(monitor) == (0, [], "")
        simulator.environment("prod").api_faults.set(Status(503))
        monitor.wait_for(1, "tigr_failure", environment="prod", endpoint="ping", reason="server_error")
        status, lines, errors = first_look(monitor)
        assert (status, errors) == (0, "")
        assert {line.split("{")[0] for line in lines} >= {"tigr_up", "tigr_failure", "tigr_consecutive_failures"}
        assert all('environment="prod"' in line for line in lines)
        assert 'tigr_failure{endpoint="ping",environment="prod",reason="server_error"} 1.0' in lines
        monitor.stop()
        status, lines, errors = first_look(monitor)
        assert (status, lines) == (7, [])  # CURLE_COULDNT_CONNECT
        assert errors.startswith("curl: ")


BAD = [
    'tigr_up{endpoint="token",environment="uat"} 0.0',
    'tigr_api_reachable{environment="uat"} 0.0',
    'tigr_token_host_reachable{environment="uat"} 0.0',
    "tigr_config_last_reload_successful 0.0",
    'tigr_failure{endpoint="ping",environment="uat",reason="dns"} 1.0',
    'tigr_credentials_rejected{environment="uat"} 1.0',
    'tigr_api_open{environment="uat"} 1.0',
    'tigr_consecutive_failures{endpoint="ping",environment="uat"} 12.0',
    'tigr_backoff_seconds{endpoint="token",environment="uat"} +Inf',
    'tigr_backoff_seconds{endpoint="token",environment="uat"} 0.25',
    'tigr_token_expiry_headroom_seconds{environment="uat"} -3.5',
]
GOOD = [
    "# HELP tigr_up Whether the most recent probe succeeded (1) or failed (0).",
    "# TYPE tigr_up gauge",
    'tigr_up{endpoint="token",environment="uat"} 1.0',
    "tigr_config_last_reload_successful 1.0",
    'tigr_failure{endpoint="ping",environment="uat",reason="dns"} 0.0',
    'tigr_failure_unknown{environment="uat"} 1.0',
    'tigr_consecutive_failures{endpoint="ping",environment="uat"} 0.0',
    'tigr_backoff_seconds{endpoint="token",environment="uat"} 0.0',
    'tigr_token_expiry_headroom_seconds{environment="uat"} 0.5',
    "tigr_log_messages_dropped_total 3.0",
    'up{job="x"} 0',
]


def test_each_series_that_is_not_well_is_printed() -> None:
    """The pattern prints exactly the bad lines of an exposition, each once, in their order."""
    pattern = COMMAND.partition("awk '")[2].rpartition("'")[0]
    page = "\n".join(line for pair in zip(BAD, GOOD, strict=True) for line in pair)
    ended = subprocess.run(["awk", pattern], input=page, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == BAD
