"""The reason in a text: right in the first message and in the last, wherever Prometheus puts the groups in time.

Prometheus evaluates each group at an offset that depends on the names of file and group. Renamed copies of the groups
have different offsets.
"""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.process import wait_for
from tests.system.prometheus.server import PrometheusServer, running
from tests.system.prometheus.stack import faster_rules

pytestmark = [pytest.mark.system, pytest.mark.needs("prometheus"), pytest.mark.timeout(180)]

COPIES = 8
SCRAPE = "2s"
FACTOR = 100.0  # keep_firing_for of 6 min becomes 3.6 s
ALERTS = {"ping": "TigrPingFailing", "token": "TigrLoginFailing"}
SINCE = 1_800_000_000  # 2027-01-15 08:00:00 UTC
SUMMARIES = {
    "ping": "prod: ping has failed since 08:00:00 UTC, reason: {} (api.example).",
    "token": "prod: login has failed since 08:00:00 UTC, reason: {} (login.example).",
}


class FakeMonitor:
    """One server: the metrics of a monitor whose probes fail with a chosen reason, and the receiver of the alerts."""

    def __init__(self) -> None:
        self.reason = ""
        self.sent: list[tuple[str, bool, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._respond(outer.exposition().encode())

            def do_POST(self) -> None:
                outer.receive(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._respond(b"")

            def _respond(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def exposition(self) -> str:
        """Return the metrics of one moment."""
        reason = self.reason
        info = 'environment="prod",token_host="login.example",api_host="api.example",severity="critical"'
        lines = [f"tigr_environment_info{{{info}}} 1"]
        for endpoint in ALERTS:
            host = f'environment="prod",endpoint="{endpoint}"'
            lines.append(f"tigr_consecutive_failures{{{host}}} {3 if reason else 0}")
            lines += [f'tigr_failure{{{host},reason="{r}"}} {int(r == reason)}' for r in ("timeout", "server_error")]
            if reason:
                lines.append(f"tigr_down_since_timestamp_seconds{{{host}}} {SINCE}")
        return "\n".join([*lines, ""])

    def texts(self, *, resolved: bool) -> dict[str, set[str]]:
        """Return the summaries of all resolved or of all firing alerts that were sent, by name."""
        texts: dict[str, set[str]] = {}
        for name, was_resolved, summary in list(self.sent):
            if resolved == was_resolved:
                texts.setdefault(name, set()).add(summary)
        return texts

    def receive(self, alerts: list[dict[str, Any]]) -> None:
        """Record alerts. Prometheus sends the end of a firing alert as some minutes in the future."""
        soon = datetime.now(UTC) + timedelta(seconds=30)
        for alert in alerts:
            resolved = datetime.fromisoformat(alert["endsAt"][:19] + "+00:00") < soon
            self.sent.append((alert["labels"]["alertname"], resolved, alert["annotations"]["summary"]))


def _copies(directory: Path) -> list[str]:
    """Write renamed copies of all groups and return the names of the files."""
    names = []
    for number in range(COPIES):
        text = yaml.safe_dump(faster_rules(FACTOR))
        for old, new in (("name: tigr-", f"name: copy{number}-"), ("tigr:", f"copy{number}:")):
            text = text.replace(old, new)
        text = text.replace("alert: Tigr", f"alert: Copy{number}Tigr").replace(
            'alertname=~"Tigr', f'alertname=~"C{number}'
        )
        names.append(f"copy{number}.yml")
        (directory / names[-1]).write_text(text)
    return names


@pytest.fixture
def monitor() -> Iterator[FakeMonitor]:
    """Yield the metrics and the receiver."""
    monitor = FakeMonitor()
    threading.Thread(target=monitor.server.serve_forever, daemon=True).start()
    yield monitor
    monitor.server.shutdown()
    monitor.server.server_close()


@pytest.fixture
def prometheus(monitor: FakeMonitor, tmp_path: Path) -> Iterator[PrometheusServer]:
    """Yield a Prometheus with all copies."""
    address = f"127.0.0.1:{monitor.server.server_port}"
    config = {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": _copies(tmp_path),
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]},
        "scrape_configs": [{"job_name": "tigr-monitor", "static_configs": [{"targets": [address]}]}],
    }
    with running(tmp_path, yaml.safe_dump(config)) as server:
        wait_for(lambda: server.now("tigr_environment_info"), "the first scrape")
        yield server


def _expected(*reasons: str) -> dict[str, set[str]]:
    """Return the summaries with these reasons for each copy of each alert."""
    return {
        f"Copy{number}{alert}": {SUMMARIES[endpoint].format(reason) for reason in reasons}
        for number in range(COPIES)
        for endpoint, alert in ALERTS.items()
    }


def _of_interest(texts: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: summaries for name, summaries in texts.items() if name.endswith(tuple(ALERTS.values()))}


def test_first_and_last_texts_have_the_reason_of_their_time(monitor: FakeMonitor, prometheus: PrometheusServer) -> None:
    """Each copy reports the first reason, and after the end the last one. A change of the reason is no other alert."""
    monitor.reason = "timeout"
    wait_for(lambda: _of_interest(monitor.texts(resolved=False)) == _expected("timeout"), "every first message")
    monitor.reason = "server_error"
    last = {summary for texts in _expected("server_error").values() for summary in texts}
    wait_for(
        lambda: [a["annotations"]["summary"] in last for a in prometheus.alerts()].count(True) == 2 * COPIES,
        "every text has the second reason",
    )
    assert _of_interest(monitor.texts(resolved=True)) == {}
    monitor.reason = ""
    wait_for(lambda: _of_interest(monitor.texts(resolved=True)).keys() == _expected("").keys(), "every end")
    assert _of_interest(monitor.texts(resolved=True)) == _expected("server_error")
    assert _of_interest(monitor.texts(resolved=False)) == _expected("timeout")
