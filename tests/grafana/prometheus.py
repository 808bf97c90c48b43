"""A Prometheus of Debian's, started for a test on data of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATIENCE = 30.0  # seconds
_PAUSE = 0.2  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer: its labels and its values, in their order."""

    labels: dict[str, str]
    values: list[float]


class Prometheus:
    """What it can be asked."""

    def __init__(self, url: str) -> None:
        self.url = url

    def now(self, expr: str) -> list[Sample]:
        """Answer an instant query."""
        return [Sample(r["metric"], [float(r["value"][1])]) for r in self._result("query", query=expr)]

    def over(self, expr: str, seconds: float, step: float) -> list[Sample]:
        """Answer a range query over the newest so many seconds."""
        end = time.time()
        result = self._result("query_range", query=expr, start=end - seconds, end=end, step=step)
        return [Sample(r["metric"], [float(value) for _, value in r["values"]]) for r in result]

    def label_values(self, metric: str, label: str) -> list[str]:
        """What Grafana makes of `label_values(metric, label)`."""
        series: list[dict[str, str]] = self._get("series", {"match[]": metric})
        return sorted({labels[label] for labels in series})

    def wait(self, expr: str, count: int = 1) -> None:
        """Wait until an expression has so many series, with a limit."""
        deadline = time.monotonic() + _PATIENCE
        while len(found := self.now(expr)) < count:
            assert time.monotonic() < deadline, f"within {_PATIENCE:.0f} s {expr} had only {found}"
            time.sleep(_PAUSE)

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _result(self, kind: str, **arguments: Any) -> list[dict[str, Any]]:
        answer: dict[str, Any] = self._get(kind, arguments)
        result: list[dict[str, Any]] = answer["result"]
        return result

    def _get(self, kind: str, arguments: dict[str, Any]) -> Any:
        url = f"{self.url}/api/v1/{kind}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"Prometheus refuses {arguments}: {error.read().decode()}") from error


@contextmanager
def running(directory: Path, config: str) -> Generator[Prometheus]:
    """Start one with this configuration, and end it."""
    (directory / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        prometheus = Prometheus(f"http://{address}")
        deadline = time.monotonic() + _PATIENCE
        while not prometheus.ready():
            assert process.poll() is None, (directory / "log").read_text()
            assert time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(_PAUSE)
        yield prometheus
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on; another program may take it before we do, which fails the test."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
