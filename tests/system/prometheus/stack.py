"""Prometheus, Alertmanager and the receivers of its messages, with the shipped files at shorter intervals."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from monitor.durations import parse, text
from tests.support.process import free_port, wait_for
from tests.system.prometheus import rulefiles
from tests.system.prometheus.server import PrometheusServer, running

_PATIENCE = 30.0  # seconds
_DURATION = re.compile(r"\[(\w+)(?::(\w+))?\]")
_TIMED = ("for", "keep_firing_for", "interval", "group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True, slots=True)
class Message:
    """One alert in one notification."""

    receiver: str
    status: str  # "firing" or "resolved"
    labels: Mapping[str, str]
    summary: str
    received: float  # monotonic

    @property
    def name(self) -> str:
        """Return the name of the alert."""
        return self.labels["alertname"]

    @property
    def subject(self) -> str:
        """Return the environment of the alert, or the instance if it is about a whole monitor."""
        return self.labels.get("environment") or self.labels.get("instance", "")


class Receivers:
    """The pager and the chat: a server that records the messages of Alertmanager."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.bodies: list[Mapping[str, Any]] = []
        record = self._record

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                record(body)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")  # Alertmanager regards any other response as a failure of Slack

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _record(self, body: Mapping[str, Any]) -> None:
        now = time.monotonic()
        self.bodies.append(body)
        for alert in body.get("alerts", ()):  # Slack has its own format
            summary = alert["annotations"]["summary"]
            self.messages.append(Message(body["receiver"], alert["status"], alert["labels"], summary, now))

    def about(self, subject: str, status: str = "firing") -> set[tuple[str, str]]:
        """Return receiver and name of the alerts that were sent about a subject."""
        return {(m.receiver, m.name) for m in list(self.messages) if (m.subject, m.status) == (subject, status)}

    def resolved_only(self) -> set[tuple[str, str, str]]:
        """Return receiver, subject and name of the alerts whose end was sent, but not their beginning."""
        fired, resolved = (
            {(m.receiver, m.subject, m.name) for m in list(self.messages) if m.status == status}
            for status in ("firing", "resolved")
        )
        return resolved - fired

    def unresolved(self) -> set[tuple[str, str, str]]:
        """Return receiver, subject and name of the alerts that fired and were not resolved."""
        newest = {(m.receiver, m.subject, m.name): m.status for m in list(self.messages)}
        return {key for key, status in newest.items() if status == "firing"}


def _faster(value: str, factor: float) -> str:
    return text(max(parse(value) / factor, 0.001)) if not value.endswith(("d", "w")) else value


def _in_expression(expr: str, factor: float) -> str:
    """Return an expression with shorter ranges; ranges of days stay, because no test runs so long."""

    def replace(match: re.Match[str]) -> str:
        parts = [_faster(part, factor) for part in match.groups() if part]
        return f"[{':'.join(parts)}]"

    return _DURATION.sub(replace, expr)


def faster_rules(factor: float) -> dict[str, Any]:
    """Return the shipped rules with all durations divided by a factor."""
    groups = rulefiles.group_list()
    for group in groups:
        for timed in [group, *group["rules"]]:
            for key in set(_TIMED) & timed.keys():
                timed[key] = _faster(timed[key], factor)
        for rule in group["rules"]:
            rule["expr"] = _in_expression(rule["expr"], factor)
    return {"groups": groups}


def faster_routes(receivers: str, factor: float) -> dict[str, Any]:
    """Return the shipped Alertmanager configuration for this receiver URL, with shorter waits, active at all hours."""
    config = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")
    for route in [config["route"], *config["route"]["routes"]]:
        for key in set(_TIMED) & route.keys():
            route[key] = _faster(route[key], factor)
        route.pop("active_time_intervals", None)
    config["receivers"] = [
        {"name": receiver["name"], "webhook_configs": [{"url": receivers}]} for receiver in config["receivers"]
    ]
    del config["templates"]
    return config


@contextlib.contextmanager
def alertmanager(directory: Path, port: int, program: str = "prometheus-alertmanager") -> Iterator[None]:
    """Run Alertmanager with the alertmanager.yml of this directory."""
    command = [
        program,
        f"--config.file={directory / 'alertmanager.yml'}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    log, ready = directory / "alertmanager.log", f"http://127.0.0.1:{port}/-/ready"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or is_ready(ready), "Alertmanager is ready", _PATIENCE)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_ready(url: str) -> bool:
    """Return whether a page responds with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - a loopback URL
            return bool(response.status == 200)
    except OSError:
        return False


@contextlib.contextmanager
def stack(
    directory: Path, targets: Mapping[str, int], rules: Mapping[str, Any], routes: Mapping[str, Any], scrape: float
) -> Iterator[PrometheusServer]:
    """Run Prometheus and Alertmanager; `targets` are ports by instance, scraped every `scrape` seconds.

    Yields the Prometheus, which also knows the alerts that are inhibited.
    """
    port = free_port()
    config = rulefiles.load(rulefiles.FOLDER / "prometheus.yml")
    (job,) = config["scrape_configs"]
    interval = text(scrape)
    config["global"] = {"evaluation_interval": interval}
    job |= {"scrape_interval": interval, "scrape_timeout": text(min(scrape, parse(job["scrape_timeout"])))}
    config["rule_files"] = ["rules.yml"]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    job["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": instance}} for instance, port in targets.items()
    ]
    for name, contents in {"rules": rules, "alertmanager": routes}.items():
        (directory / f"{name}.yml").write_text(yaml.safe_dump(dict(contents), sort_keys=False), encoding="utf-8")
    with (
        alertmanager(directory, port),
        running(directory, yaml.safe_dump(config, sort_keys=False)) as prometheus,
    ):
        # Increases count only after the first scrape.
        wait_for(
            lambda: len(prometheus.now("up == 1")) == len(targets),
            "every monitor is scraped",
            4 * _PATIENCE + 2 * scrape,
        )
        yield prometheus
