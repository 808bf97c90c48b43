"""The time from a fault to its first message, at two scrape intervals; every other interval has its default.

`python -m tests.system.prometheus.time_to_page [SUBJECT…]` prints a Markdown table after seventeen minutes. All faults
(or those of these subjects) begin at the same time. Prometheus has an hour of good history, as in an installation that
has run for long. The exit status is 1 if an alert is missing, if an unexpected one was sent, or if a maximum time is
exceeded at the default scrape interval.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.config.settings import EnvironmentSettings, load
from monitor.durations import parse
from monitor.model import Endpoint
from monitor.simulator import Simulator
from tests.support.process import Monitor
from tests.system.prometheus import rulefiles
from tests.system.prometheus.faultcases import Alerts
from tests.system.prometheus.stack import Message, Receivers, faster_routes, faster_rules, stack
from tests.system.prometheus.timed_faults import FAULTS, Running, TimedFault, Wait

COMMON, WELL = "common", "well"
TICKETS = ("uat", "gone_too")  # environments that do not page
HISTORY, HISTORY_STEP = 3600, 30  # seconds


def scrape_intervals() -> tuple[float, float]:
    """Return the default interval and a longer one, in seconds."""
    (job,) = rulefiles.load(rulefiles.FOLDER / "prometheus.yml")["scrape_configs"]
    return parse(job["scrape_interval"]), 30.0


def seconds(settings: EnvironmentSettings) -> dict[Wait, float]:
    """Return the maximum of each wait at the default scrape interval: each step just misses the one before."""
    (job,) = rulefiles.load(rulefiles.FOLDER / "prometheus.yml")["scrape_configs"]
    (causes,) = (group for group in rulefiles.group_list() if group["name"] == "tigr-causes")
    route = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["route"]
    seen = parse(job["scrape_interval"]) + parse(causes["interval"])
    return {
        Wait.PING: settings.ping_interval,
        Wait.CONFIRM: 2 * settings.confirm_interval,
        Wait.TIMEOUT: settings.timeout,
        Wait.LOGIN: settings.auth_interval,
        Wait.TOKEN_HOST: 2 * settings.ping_interval,
        Wait.RETRY: settings.ping_interval,
        Wait.DOWN: parse(rulefiles.alerts()["TigrMonitorDown"]["for"]) + parse(causes["interval"]),
        Wait.SCRAPE_TIMEOUT: parse(job["scrape_timeout"]),
        Wait.GROUP: parse(route["routes"][0]["group_interval"]),
        Wait.PAGE: seen + parse(route["routes"][0]["group_wait"]),
        Wait.TICKET: seen + parse(route["group_wait"]),
    }


@dataclass(frozen=True, slots=True)
class Row:
    """The results of one fault."""

    fault: TimedFault
    at_most: float | None  # seconds, computed
    measured: Sequence[float | None]  # seconds, by scrape interval
    title: str

    def markdown(self) -> str:
        """Return the row of the table."""
        at_most = f"{self.at_most:.0f} s" if self.at_most else ""
        measured = [f"{value:.0f} s" if value is not None else "none" for value in self.measured]
        return f"| {' | '.join([self.fault.description, at_most, *measured, self.title])} |"


def _first(fault: TimedFault, receivers: Receivers) -> Message | None:
    return next((m for m in list(receivers.messages) if m.subject == _subject(fault) and m.status == "firing"), None)


def _subject(fault: TimedFault) -> str:
    return next(iter(fault.expected))


def _title(fault: TimedFault, receivers: Receivers) -> str:
    """Return the title of the first message about a fault, as the chat shows it."""
    first = _first(fault, receivers)
    titles = (body["attachments"][0]["title"] for body in list(receivers.bodies) if "attachments" in body)
    part = first.summary.removesuffix(".") if first else ""
    title = next((title for title in titles if first and part in title), "")
    return re.sub(r"\blocalhost:\d+", "localhost", title)  # the ports of the simulator mean nothing


def row(fault: TimedFault, began: float, received: Sequence[Receivers], waits: Mapping[Wait, float]) -> Row:
    """Return the results of a fault from the messages at each scrape interval."""
    firsts = [_first(fault, receivers) for receivers in received]
    measured = [first.received - began - fault.counted_from if first else None for first in firsts]
    titles = (title for receivers in received if (title := _title(fault, receivers)))
    return Row(fault, sum(waits[wait] for wait in fault.waits) or None, measured, next(titles, ""))


def problems(rows: Sequence[Row], received: Sequence[Receivers], intervals: Sequence[float]) -> Iterator[str]:
    """Yield each missing or unexpected alert, and each exceeded time."""
    expected: dict[str, Alerts] = {}
    for result in rows:
        expected |= result.fault.expected
        default = result.measured[0]
        if result.at_most and default is not None and default > result.at_most:
            yield f"{result.fault.description}: {default:.1f} s, more than {result.at_most:.0f} s"
    for receivers, interval in zip(received, intervals, strict=True):
        for subject in {m.subject for m in receivers.messages} | expected.keys():
            sent, wanted = receivers.about(subject), expected.get(subject, frozenset())
            if sent != wanted:
                yield f"{subject}, scraped every {interval:g} s: sent {sorted(sent)}, expected {sorted(wanted)}"
        if resolved_only := receivers.resolved_only():
            yield f"scraped every {interval:g} s: the end was sent, but not the beginning: {sorted(resolved_only)}"


def _routes(receivers: Receivers) -> dict[str, Any]:
    """Return the shipped routes; each receiver gets the alerts and, with the shipped template, their title."""
    routes = faster_routes(receivers.url, 1)
    shipped = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")
    (slack,) = (receiver for receiver in shipped["receivers"] if receiver["name"] == "chat")
    (to_slack,) = slack["slack_configs"]
    del to_slack["api_url_file"]
    for receiver in routes["receivers"]:
        receiver["slack_configs"] = [to_slack | {"api_url": receivers.url}]
    return routes | {"templates": [str(rulefiles.FOLDER / "templates" / "tigr.tmpl")]}


def _history(directory: Path, targets: Mapping[str, Sequence[str]]) -> None:
    """Write an hour without an outage into the database of Prometheus, which is not running yet."""
    end = time.time()
    lines: dict[str, list[str]] = {"observed": [], "down": []}
    for instance, names in targets.items():
        for environment in names:
            for endpoint in Endpoint:
                labels = f'environment="{environment}",endpoint="{endpoint}",instance="{instance}",job="tigr-monitor"'
                for second in range(0, HISTORY, HISTORY_STEP):
                    stamp = f"{end - HISTORY + second:.3f}"
                    lines["observed"].append(f"tigr_observed_seconds_total{{{labels}}} {second} {stamp}")
                    lines["down"].append(f"tigr_down_seconds_total{{{labels}}} 0 {stamp}")
    blocks = ["\n".join([f"# TYPE tigr_{name}_seconds counter", *of_name]) for name, of_name in lines.items()]
    samples = directory / "history.txt"
    samples.write_text("\n".join([*blocks, "# EOF", ""]))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(samples), str(directory / "data")]
    subprocess.run(command, capture_output=True, check=True, timeout=100)


def _targets(faults: Sequence[TimedFault]) -> dict[str, list[str]]:
    """Return the environments by instance."""
    targets = {f"of_{fault.alone[0]}": list(fault.alone) for fault in faults if fault.alone}
    return targets | {COMMON: [WELL, *(_subject(fault) for fault in faults if not fault.alone)]}


def _settings(simulator: Simulator, names: Sequence[str]) -> dict[str, str]:
    settings = {key: value for name in names for key, value in simulator.environment(name).settings().items()}
    off = {f"TIGR_ENVIRONMENTS__{name.upper()}__ENABLED": "false" for name in ("prod", "uat") if name not in names}
    severities = {
        f"TIGR_ENVIRONMENTS__{name.upper()}__SEVERITY": "warning" if name in TICKETS else "critical" for name in names
    }
    return settings | off | severities | {"TIGR_CA_FILE": str(simulator.ca_file), "TIGR_PROXY": "none"}


def _perform(faults: Sequence[TimedFault], running: Running) -> float:
    """Perform the steps of all faults and wait until the end; return the time of the beginning."""
    steps = sorted(((second, step) for fault in faults for second, step in fault.steps), key=lambda step: step[0])
    pause, began = threading.Event(), time.monotonic()
    for second, step in steps:
        pause.wait(max(0.0, began + second - time.monotonic()))
        step(running)
    pause.wait(max(0.0, began + max(fault.watched for fault in faults) - time.monotonic()))
    return began


def measure(faults: Sequence[TimedFault]) -> tuple[list[Row], list[str]]:
    """Let the faults happen; return a row for each, and all problems."""
    targets, intervals = _targets(faults), scrape_intervals()
    names = [name for of_instance in targets.values() for name in of_instance]
    with contextlib.ExitStack() as resources:
        directory = Path(resources.enter_context(tempfile.TemporaryDirectory()))
        simulator = resources.enter_context(Simulator(names))
        monitors = {
            instance: resources.enter_context(Monitor(_settings(simulator, of_instance), directory))
            for instance, of_instance in targets.items()
        }
        for instance, of_instance in targets.items():
            for name in of_instance:
                monitors[instance].wait_for(1, "tigr_up", environment=name, endpoint="ping")
        received = [resources.enter_context(Receivers()) for _ in intervals]
        for interval, receivers in zip(intervals, received, strict=True):
            folder = directory / f"{interval:g}"
            folder.mkdir()
            _history(folder, targets)
            ports = {instance: monitor.port for instance, monitor in monitors.items()}
            resources.enter_context(stack(folder, ports, faster_rules(1), _routes(receivers), interval))
        began = _perform(faults, Running(simulator, monitors))
        waits = seconds(load(_settings(simulator, [WELL])).settings.environments[0])
        rows = [row(fault, began, received, waits) for fault in faults]
        return rows, list(problems(rows, received, intervals))


def main() -> int:
    """Measure once and print the table; return 1 if there is a problem."""
    subjects = {_subject(fault): fault for fault in FAULTS}
    parser = argparse.ArgumentParser(prog="python -m tests.system.prometheus.time_to_page")
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"any of {', '.join(subjects)}; default: all")
    chosen = parser.parse_args().subjects or list(subjects)
    if unknown := [name for name in chosen if name not in subjects]:
        parser.error(f"unknown subjects: {', '.join(unknown)}; choose from {', '.join(subjects)}")
    rows, wrong = measure([subjects[name] for name in chosen])
    columns = [f"scraped every {interval:g} s" for interval in scrape_intervals()]
    print(f"| {' | '.join(['fault', 'at most, computed', *columns, 'title of the first message'])} |")
    print(f"|{' --- |' * (len(columns) + 3)}")
    print("\n".join(result.markdown() for result in rows))
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
