"""A scrape configuration as the Prometheus operator generates it from the PodMonitor, without a cluster.

Source of the relabelings and their order: the operator's generator of scrape jobs and the expected files of its tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.checkout import ROOT

NAMESPACE = "monitoring"
_LETTER = re.compile(r"(?<=[a-z])(?=[A-Z])")
_META = "__meta_kubernetes_"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a Deployment, with the port at which its monitor listens on this machine."""

    name: str
    labels: Mapping[str, str]
    port: int

    def discovered(self) -> dict[str, Any]:
        """Return the target as the service discovery of Prometheus finds it."""
        meta = {
            "namespace": NAMESPACE,
            "pod_name": self.name,
            "pod_phase": "Running",
            "pod_container_name": "monitor",
            "pod_container_port_name": "metrics",
        }
        for name, value in self.labels.items():
            plain = re.sub(r"\W", "_", name)
            meta |= {f"pod_label_{plain}": value, f"pod_labelpresent_{plain}": "true"}
        labels = {f"{_META}{name}": value for name, value in meta.items()}
        return {"targets": [f"127.0.0.1:{self.port}"], "labels": labels}


def pod_monitor() -> dict[str, Any]:
    """Return the shipped PodMonitor."""
    manifest: dict[str, Any] = yaml.safe_load((ROOT / "kubernetes/podmonitor.yaml").read_text())
    return manifest


def rule_groups() -> dict[str, Any]:
    """Return the shipped PrometheusRule as the rule file that the operator writes."""
    spec: dict[str, Any] = yaml.safe_load((ROOT / "kubernetes/prometheusrule.yaml").read_text())["spec"]
    return spec


def scrape_config(pods: Sequence[Pod]) -> dict[str, Any]:
    """Return the scrape job that the operator generates for these pods."""
    manifest = pod_monitor()
    (endpoint,) = manifest["spec"]["podMetricsEndpoints"]
    name = f"{NAMESPACE}/{manifest['metadata']['name']}"
    selected = [
        {
            "action": "keep",
            "source_labels": [f"{_META}pod_label_{plain}", f"{_META}pod_labelpresent_{plain}"],
            "regex": f"({value});true",
        }
        for plain, value in (
            (re.sub(r"\W", "_", label), value) for label, value in manifest["spec"]["selector"]["matchLabels"].items()
        )
    ]
    return {
        "job_name": f"podMonitor/{name}/0",
        "honor_labels": endpoint.get("honorLabels", False),
        "scrape_interval": endpoint["interval"],
        "scrape_timeout": endpoint["scrapeTimeout"],
        "static_configs": [pod.discovered() for pod in pods],
        "relabel_configs": [
            {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"},
            {"action": "drop", "source_labels": [f"{_META}pod_phase"], "regex": "(Failed|Succeeded)"},
            *selected,
            {"action": "keep", "source_labels": [f"{_META}pod_container_port_name"], "regex": endpoint["port"]},
            {"source_labels": [f"{_META}namespace"], "target_label": "namespace"},
            {"source_labels": [f"{_META}pod_container_name"], "target_label": "container"},
            {"source_labels": [f"{_META}pod_name"], "target_label": "pod"},
            {"target_label": "job", "replacement": name},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
            *(_in_snake_case(relabeling) for relabeling in endpoint["relabelings"]),
            {"source_labels": ["__address__"], "target_label": "__tmp_hash", "modulus": 1, "action": "hashmod"},
            {"source_labels": ["__tmp_hash"], "regex": "0", "action": "keep"},
        ],
    }


def configuration(directory: Path, pods: Sequence[Pod]) -> str:
    """Return a configuration with this job and the shipped rules, which it writes to `directory`."""
    rules = directory / "rules.yml"
    rules.write_text(yaml.safe_dump(rule_groups(), sort_keys=False))
    config = {
        "rule_files": [str(rules)],
        "scrape_configs": [scrape_config(pods)],
    }
    return yaml.safe_dump(config, sort_keys=False)


def _in_snake_case(relabeling: Mapping[str, Any]) -> dict[str, Any]:
    """Return a relabeling of a manifest with the names that Prometheus uses."""
    return {_LETTER.sub("_", name).lower(): value for name, value in relabeling.items()}
