"""Debian's Prometheus, started for a test with an empty database."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from tests.support.process import free_port, wait_for

_PATIENCE = 30.0  # seconds


class _Series(TypedDict, total=False):
    """One series as the API writes it."""

    metric: dict[str, str]
    value: tuple[float, str]
    values: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class SeriesSample:
    """One series of a result: its labels and its values, oldest first."""

    labels: dict[str, str]
    values: list[float]


class PrometheusServer:
    """The HTTP API of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def now(self, expr: str) -> list[SeriesSample]:
        """Run an instant query and return its result."""
        return [
            SeriesSample(series["metric"], [float(series["value"][1])]) for series in self._result("query", query=expr)
        ]

    def over(self, expr: str, seconds: float, step: float) -> list[SeriesSample]:
        """Run a range query over the most recent seconds, at multiples of the step as Grafana does; return its result.

        Grafana ends at the multiple before now. This method ends at the next one: otherwise, a step of minutes would
        have no sample yet.
        """
        now = time.time()
        begin, end = (now - seconds) // step * step, (now // step + 1) * step
        result = self._result("query_range", query=expr, start=begin, end=end, step=step)
        return [SeriesSample(series["metric"], [float(value) for _, value in series["values"]]) for series in result]

    def label_values(self, metric: str, label: str) -> list[str]:
        """Return the sorted values that Grafana shows for `label_values(metric, label)`."""
        series = cast("list[dict[str, str]]", self._get("series", {"match[]": metric}))
        return sorted({labels[label] for labels in series})

    def alerts(self) -> list[dict[str, Any]]:
        """Return all pending and firing alerts with their texts."""
        return cast("dict[str, list[dict[str, Any]]]", self._get("alerts", {}))["alerts"]

    def targets(self) -> list[dict[str, str]]:
        """Return the labels of every scraped target, after relabeling."""
        targets = cast("dict[str, list[dict[str, dict[str, str]]]]", self._get("targets", {"state": "active"}))
        return [target["labels"] for target in targets["activeTargets"]]

    def ready(self) -> bool:
        """Return True if Prometheus is ready for queries."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as response:  # noqa: S310 - a loopback URL
                return bool(response.status == 200)
        except OSError:
            return False

    def _result(self, path: str, **arguments: str | float) -> list[_Series]:
        return cast("dict[str, list[_Series]]", self._get(path, arguments))["result"]

    def _get(self, path: str, arguments: dict[str, str | float] | dict[str, str]) -> object:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - a loopback URL
                data: object = json.load(response)["data"]
                return data
        except urllib.error.HTTPError as error:
            raise AssertionError(f"Prometheus refuses {arguments}: {error.read().decode()}") from error


@contextmanager
def running(
    directory: Path, config: str, *, program: str = "prometheus", arguments: Sequence[str] = ()
) -> Iterator[PrometheusServer]:
    """Run Prometheus with this configuration until the end of the block."""
    (directory / "prometheus.yml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    prometheus = PrometheusServer(f"http://{address}")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
                *arguments,
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: process.poll() is not None or prometheus.ready(), "Prometheus is ready", _PATIENCE)
        assert process.poll() is None, (directory / "log").read_text()
        yield prometheus
    finally:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
