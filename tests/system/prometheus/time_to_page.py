"""The time from a fault to the page with the default intervals: computed and measured.

`python -m tests.system.prometheus.time_to_page` prints seconds as JSON within eight minutes; the exit status is 1 if a
bound is exceeded.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitor.config.settings import EnvironmentSettings, load
from monitor.durations import parse
from monitor.simulator import Simulator
from monitor.simulator.faults import Hang, Refuse, Status
from tests.support.process import Monitor
from tests.system.prometheus import rulefiles
from tests.system.prometheus.stack import Receivers, faster_routes, faster_rules, stack

WELL = "well"
FAULTY = ("ping refused", "ping with wrong responses", "ping hangs", "login refused")


def computed(settings: EnvironmentSettings) -> dict[str, float]:
    """Return the maximum time for each fault: it begins right after a run, and each step just misses the one before."""
    (job,) = rulefiles.load(rulefiles.FOLDER / "prometheus.yml")["scrape_configs"]
    (causes,) = (group for group in rulefiles.group_list() if group["name"] == "tigr-causes")
    routes: list[Mapping[str, Any]] = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")["route"]["routes"]
    waits = [job["scrape_interval"], causes["interval"], routes[0]["group_wait"]]
    delivery = sum(parse(wait) for wait in waits)
    pings = settings.ping_interval + 2 * settings.confirm_interval
    checks = 2 * settings.ping_interval  # of the token host; the second failure brings the next login forward
    logins = min(settings.auth_interval, checks) + settings.ping_interval
    return {
        "ping refused": pings + delivery,
        "ping with wrong responses": pings + delivery,
        "ping hangs": pings + 3 * settings.timeout + delivery,
        "login refused": logins + delivery,
    }


def bounds(settings: EnvironmentSettings) -> dict[str, float]:
    """Return the documented maximum times in seconds."""
    return {"ping refused": 60, "ping with wrong responses": 60, "ping hangs": 90, "login refused": 120}


def measure(simulator: Simulator, receivers: Receivers, limit: float) -> dict[str, float]:
    """Let every fault begin now; return the seconds until each reached the pager."""
    environments = {name: simulator.environment(name.replace(" ", "_")) for name in FAULTY}
    environments["ping refused"].api_faults.set(Refuse())
    environments["ping with wrong responses"].api_faults.set(Status(500))
    environments["ping hangs"].api_faults.set(Hang())
    environments["login refused"].token_faults.set(Refuse())
    measured: dict[str, float] = {}
    began, pause = time.monotonic(), threading.Event()
    while len(measured) < len(environments) and time.monotonic() - began < limit:
        pause.wait(0.1)
        for name, environment in environments.items():
            if name not in measured and receivers.about(environment.name):
                measured[name] = round(time.monotonic() - began, 1)
    return measured


def main() -> int:
    """Measure once and print the figures; return 1 if a bound is exceeded."""
    names = [name.replace(" ", "_") for name in FAULTY]
    with tempfile.TemporaryDirectory() as folder, Simulator([*names, WELL]) as simulator, Receivers() as receivers:
        directory = Path(folder)
        settings = load(simulator.settings()).settings.environments[0]
        promised = bounds(settings)
        rules, routes = faster_rules(1), faster_routes(receivers.url, 1)
        severities = {f"TIGR_ENVIRONMENTS__{name.upper()}__SEVERITY": "critical" for name in names}
        with Monitor(simulator.settings() | severities, directory) as monitor:
            for name in names:
                monitor.wait_for(1, "tigr_up", environment=name, endpoint="token")
            with stack(directory, {"monitor": monitor.port}, rules, routes, scrape=5):
                measured = measure(simulator, receivers, max(promised.values()))
    print(json.dumps({"computed": computed(settings), "measured": measured, "bounds": promised}, indent=2))
    return 0 if measured.keys() == promised.keys() and all(measured[key] <= promised[key] for key in promised) else 1


if __name__ == "__main__":
    sys.exit(main())
