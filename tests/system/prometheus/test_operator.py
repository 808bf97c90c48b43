"""The shipped PodMonitor and PrometheusRule in a real Prometheus, behind the relabelings of the Prometheus operator."""

from __future__ import annotations

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support import promql
from tests.support.process import Monitor, wait_for
from tests.system.prometheus import operator_config, rulefiles
from tests.system.prometheus.server import PrometheusServer, SeriesSample, running

PATIENCE = 180.0  # seconds: the alerts fire within one minute on a free machine
INSTANCES = ("tigr-monitor", "tigr-second")  # two Deployments in one namespace
SETTINGS = {"TIGR_PING_INTERVAL": "5s", "TIGR_AUTH_INTERVAL": "10s", "TIGR_CONFIRM_INTERVAL": "1s"}

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("prometheus", "promtool"),
    pytest.mark.timeout(PATIENCE + 120),
]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Prometheus that scrapes a pod of each Deployment; prod refuses logins, uat refuses pings."""

    prometheus: PrometheusServer

    def firing(self, alert: str, environment: str) -> list[SeriesSample]:
        """Return the firing alerts of this name about an environment."""
        return self.prometheus.now(f'ALERTS{{alertname="{alert}",alertstate="firing",environment="{environment}"}}')


def _pod(instance: str, port: int) -> operator_config.Pod:
    labels = {"app.kubernetes.io/name": "tigr-monitor", "app.kubernetes.io/instance": instance}
    return operator_config.Pod(f"{instance}-5d8f7c9b6-x2x7q", labels, port)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the Prometheus after every monitor has logged in and pinged, when the faults have begun."""
    directory = tmp_path_factory.mktemp("cluster")
    with ExitStack() as resources:
        simulator = resources.enter_context(Simulator())
        settings = simulator.settings() | SETTINGS
        monitors = {name: resources.enter_context(Monitor(settings, directory)) for name in INSTANCES}
        for monitor in monitors.values():
            for environment in simulator.environments:
                monitor.wait_for(1, "tigr_up", environment=environment, endpoint="ping")
        stranger = operator_config.Pod("other-0", {"app.kubernetes.io/name": "other"}, monitors[INSTANCES[0]].port)
        pods = [*(_pod(name, monitor.port) for name, monitor in monitors.items()), stranger]
        prometheus = resources.enter_context(running(directory, operator_config.configuration(directory, pods)))
        wait_for(lambda: len(prometheus.now("up == 1")) == len(pods) - 1, "every pod is scraped", PATIENCE)
        simulator.environment("prod").token_faults.set(Status(500))
        simulator.environment("uat").api_faults.set(Status(500))
        yield Cluster(prometheus)


def test_targets_have_the_labels_of_the_rules(cluster: Cluster) -> None:
    """A target has job, namespace and an instance of its own, and no label that another pod would change."""
    assert sorted(cluster.prometheus.targets(), key=lambda labels: labels["instance"]) == [
        {"job": "tigr-monitor", "namespace": "monitoring", "instance": f"monitoring/{name}"} for name in INSTANCES
    ]


def test_the_labels_of_the_metrics_keep_their_names(cluster: Cluster) -> None:
    """No label of a metric is renamed because a target label has its name."""
    series = cluster.prometheus.now('{__name__=~"tigr_.+"}')
    assert series
    assert not [sample for sample in series if any(label.startswith("exported_") for label in sample.labels)]
    assert {sample.labels["endpoint"] for sample in series if "endpoint" in sample.labels} == {"token", "ping"}


@pytest.mark.parametrize(
    "alert,environment,endpoint", [("TigrLoginFailing", "prod", "token"), ("TigrPingFailing", "uat", "ping")]
)
def test_an_outage_fires_one_alert_for_each_deployment(
    alert: str, environment: str, endpoint: str, cluster: Cluster
) -> None:
    """Alerts about logins and pings fire, with the namespace for Alertmanager and without the name of the pod."""
    wait_for(lambda: len(cluster.firing(alert, environment)) == len(INSTANCES), f"{alert} fires", PATIENCE)
    alerts = [sample.labels for sample in cluster.firing(alert, environment)]
    assert {labels["instance"] for labels in alerts} == {f"monitoring/{name}" for name in INSTANCES}
    assert all(labels["endpoint"] == endpoint and labels["namespace"] == "monitoring" for labels in alerts)
    assert not [labels for labels in alerts if labels.keys() & {"pod", "container", "exported_endpoint"}]


@pytest.mark.parametrize("path", rulefiles.CASES, ids=lambda path: path.name)
def test_every_alert_fires_with_the_labels_of_the_operator(path: Path, cluster: Cluster, tmp_path: Path) -> None:
    """Every case of an alert holds if its series have the labels that the operator adds to the target."""
    added = {name: value for name, value in cluster.prometheus.targets()[0].items() if name not in promql.OF_TARGETS}
    # The label namespace of an alert that aggregates is missing. Setting it here keeps the expected labels simple.
    groups = copy.deepcopy(operator_config.rule_groups())
    for rule in (rule for group in groups["groups"] for rule in group["rules"] if "alert" in rule):
        rule["labels"] = rule.get("labels", {}) | {"namespace": operator_config.NAMESPACE}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(groups))
    contents = rulefiles.load(path)
    contents["rule_files"] = ["rules.yml"]
    for case in contents["tests"]:
        _add_labels(case, added)
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(contents, sort_keys=False))
    command = ["promtool", "test", "rules", "cases.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _add_labels(case: dict[str, Any], added: Mapping[str, str]) -> None:
    """Change a case to series with these target labels; expectations about recorded series are left out."""
    case.pop("promql_expr_test", None)
    for series in case["input_series"]:
        name, _, rest = series["series"].partition("{")
        if ":" in name:
            continue  # recorded: its rule decides its labels
        labels = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        renamed = {f"exported_{label}" if label in added else label: value for label, value in labels.items()}
        written = ",".join(f'{label}="{value}"' for label, value in {**renamed, **added}.items())
        series["series"] = f"{name}{{{written}}}"
    for expected in case.get("alert_rule_test", []):
        for alert in expected.get("exp_alerts", []):
            alert["exp_labels"] |= added
