"""Checks of compose.yaml and the Kubernetes manifests that need neither Docker nor a cluster."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes import generate
from monitor import __version__
from monitor.config.settings import load
from monitor.simulator import Simulator
from tests.support import documents
from tests.support.checkout import ROOT
from tests.system.prometheus.versions import TRIED

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SECRET: dict[str, Any] = yaml.safe_load((ROOT / "kubernetes/secret.yaml").read_text())
DEPLOYMENT, SERVICE = yaml.safe_load_all((ROOT / "kubernetes/tigr-monitor.yaml").read_text())
POD_MONITOR: dict[str, Any] = yaml.safe_load((ROOT / "kubernetes/podmonitor.yaml").read_text())
NETWORK_POLICY: dict[str, Any] = yaml.safe_load((ROOT / "kubernetes/networkpolicy.yaml").read_text())
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
NAMES = ("client_id", "client_secret", "username", "password")
SECRETS = {f"tigr_environments__{env}__{name}" for env in ("prod", "uat") for name in NAMES}
PROGRAM = {"app.kubernetes.io/name": "tigr-monitor"}
LABELS = PROGRAM | {"app.kubernetes.io/instance": "tigr-monitor"}
MAX_ANNOTATIONS = 256 * 1024  # bytes: the API server refuses an object with longer annotations


def test_compose_mounts_existing_files() -> None:
    """Every mounted path exists: Docker silently creates a directory for a missing one."""
    mounted = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    sources = [volume.split(":")[0] for volume in mounted]
    assert all((ROOT / source).exists() for source in sources if source.startswith("./"))
    assert {source for source in sources if not source.startswith("./")} == COMPOSE["volumes"].keys()


def test_compose_opens_ports_to_this_machine_only() -> None:
    """Every port is bound to 127.0.0.1, because no service needs a password."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert {port.split(":")[2] for port in ports} == {"3000", "9090", "9093", "9844"}
    assert all(port.startswith("127.0.0.1:") for port in ports)


def _tag(service: str) -> str:
    """Return the tag of an image of compose.yaml, without its `v`."""
    image: str = COMPOSE["services"][service]["image"]
    return image.partition(":")[2].removeprefix("v")


@pytest.mark.parametrize("service,program", [("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")])
def test_compose_uses_versions_with_which_the_rules_are_tested(service: str, program: str) -> None:
    """The tag is a whole version, and CI runs the rules and the routes with its minor version."""
    major, minor, _ = (int(part) for part in _tag(service).split("."))
    assert (major, minor) in TRIED[program].values()


def test_compose_uses_the_grafana_whose_types_the_dashboard_has() -> None:
    """The dashboard is checked against the types of this version."""
    schema = json.loads((ROOT / "tests/system/grafana/schema/package.json").read_text())
    assert _tag("grafana") == schema["devDependencies"]["@grafana/schema"]


def test_no_container_with_secrets_writes_core_dumps() -> None:
    """Compose, the documented commands and the Quadlet file set the limit of core dumps to 0."""
    assert [COMPOSE["services"][name]["ulimits"] for name in ("demo", "monitor")] == [{"core": 0}] * 2
    for name in ("README.md", "docs/install.md"):
        (command,) = [block for block in documents.blocks(documents.text(name)) if "docker run " in block]
        assert "--ulimit core=0 " in command
    assert "\nPodmanArgs=--ulimit=core=0:0\n" in (ROOT / "systemd/tigr-monitor.container").read_text()


def test_compose_builds_from_the_base_image_of_the_dockerfile() -> None:
    """Without the variable, Compose and the Dockerfile use the same base image; every stage is built from it."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    for name in ("demo", "monitor"):
        assert COMPOSE["services"][name]["build"]["args"] == {"PYTHON_IMAGE": f"${{PYTHON_IMAGE:-{base}}}"}
    sources = set(re.findall(r"^FROM (\S+) AS \S+$", dockerfile, re.MULTILINE))
    assert sources == {"${PYTHON_IMAGE}", "build", "base"}


def test_compose_uses_a_build_target_for_each_profile() -> None:
    """The profiles demo and real use the targets of the demo and of the monitor."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name, profile in (("demo", "demo"), ("monitor", "real")):
        service = COMPOSE["services"][name]
        assert service["profiles"] == [profile]
        assert f" AS {service['build']['target']}\n" in dockerfile
        assert service["network_mode"] == "service:prometheus"
        assert service["read_only"]


def test_the_secrets_are_complete(tmp_path: Path) -> None:
    """The monitor starts with files of these names as its only settings, and the manifest contains no value."""
    assert set(COMPOSE["services"]["monitor"]["secrets"]) == COMPOSE["secrets"].keys() == SECRETS
    assert SECRET["stringData"] == dict.fromkeys(SECRETS, "")
    with Simulator() as simulator:
        for name, value in simulator.settings().items():
            (tmp_path / name.lower()).write_text(value)
        loaded = load({"TIGR_SECRETS_DIR": str(tmp_path)})
    assert {environment.name for environment in loaded.settings.environments} == {"prod", "uat"}


def test_selectors_match_the_pod() -> None:
    """Deployment and Service select their own pod; PodMonitor and NetworkPolicy select those of every Deployment."""
    assert DEPLOYMENT["spec"]["selector"] == {"matchLabels": LABELS}
    assert LABELS == POD["metadata"]["labels"] == SERVICE["spec"]["selector"]
    assert POD_MONITOR["spec"]["selector"] == NETWORK_POLICY["spec"]["podSelector"] == {"matchLabels": PROGRAM}


def test_a_second_deployment_shares_no_selector_and_no_name() -> None:
    """The documented command makes a Deployment, a Service and a Secret that are separate from the first ones."""
    (expression,) = re.findall(r"sed -E '([^']+)'", (ROOT / "docs/install.md").read_text())
    files = ("secret.yaml", "tigr-monitor.yaml")
    edited = [
        subprocess.run(
            ["sed", "-E", expression, ROOT / "kubernetes" / file], capture_output=True, text=True, check=True
        )
        for file in files
    ]
    secret, deployment, service = yaml.safe_load_all("---\n".join(done.stdout for done in edited))
    assert {manifest["metadata"]["name"] for manifest in (secret, deployment, service)} == {"tigr-second"}
    second = PROGRAM | {"app.kubernetes.io/instance": "tigr-second"}
    assert deployment["spec"]["template"]["metadata"]["labels"] == second
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == second
    assert deployment["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] == "tigr-second"
    assert deployment["spec"]["template"]["spec"]["containers"] == POD["spec"]["containers"]


def test_the_network_policy_allows_the_scrape_and_the_requests() -> None:
    """Prometheus can reach the port of the metrics; the monitor can reach DNS, and TIGR at the default ports."""
    policy = NETWORK_POLICY["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"] for rule in policy["ingress"]] == [[{"protocol": "TCP", "port": "metrics"}]]
    allowed = {(port["protocol"], port["port"]) for rule in policy["egress"] for port in rule["ports"]}
    assert allowed == {("UDP", 53), ("TCP", 53), ("TCP", 443)}
    assert all("to" not in rule for rule in policy["egress"])


def test_the_generated_manifests_are_current() -> None:
    """`make manifests` generates exactly the committed files, every time."""
    for file, generated in (
        (generate.PROMETHEUS_RULE, generate.prometheus_rule),
        (generate.CONFIG_MAP, generate.config_map),
    ):
        assert file.read_text() == generated() == generated(), f"{file.name} is old: run `make manifests`"


def test_the_prometheus_rule_has_every_rule() -> None:
    """The groups of the PrometheusRule are those of the rule files, in their order, without the watchdog."""
    manifest = yaml.safe_load(generate.PROMETHEUS_RULE.read_text())
    files = [file for file in sorted((ROOT / "prometheus/rules").glob("*.yml")) if file.name != "watchdog.yml"]
    assert manifest["kind"] == "PrometheusRule"
    assert manifest["spec"] == {
        "groups": [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    }


def test_a_rule_file_without_groups_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator reports a file without a list of groups instead of leaving its rules out."""
    (tmp_path / "rules.yml").write_text("group: []\n")
    monkeypatch.setattr(generate, "RULES", tmp_path)
    with pytest.raises(ValueError, match="no line `groups:`"):
        generate.prometheus_rule()


def test_the_config_map_has_the_dashboard() -> None:
    """The sidecar of Grafana finds the ConfigMap by its label, and its file is the dashboard."""
    manifest = yaml.safe_load(generate.CONFIG_MAP.read_text())
    assert manifest["kind"] == "ConfigMap"
    assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
    (name, text) = next(iter(manifest["data"].items()))
    assert name.endswith(".json")
    assert json.loads(text) == json.loads((ROOT / "grafana" / name).read_text())
    assert "\n" not in text
    assert len(json.dumps(manifest).encode()) < MAX_ANNOTATIONS  # `kubectl apply` keeps the manifest in an annotation


def test_ports_are_referenced_by_name() -> None:
    """Probes, Service and PodMonitor use the name of the only port of the container."""
    (port,) = CONTAINER["ports"]
    assert port == {"name": "metrics", "containerPort": 9844}
    probes = [CONTAINER[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert [probe["port"] for probe in probes] == ["metrics", "metrics"]
    assert [probe["path"] for probe in probes] == ["/-/healthy", "/-/ready"]
    assert SERVICE["spec"]["ports"][0]["targetPort"] == "metrics"
    assert POD_MONITOR["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"


def test_the_pod_is_confined() -> None:
    """The pod has an unprivileged user, a read-only file system, no service links and no API token."""
    pod = POD["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsUser"] == 65532
    assert "USER 65532:65532\n" in (ROOT / "Dockerfile").read_text()
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert CONTAINER["image"] == f"tigr-monitor:{__version__}"


def test_every_mount_has_a_volume() -> None:
    """The Secret and the state are mounted at the paths that the image uses."""
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert mounted == {"secrets": "/run/secrets", "state": "/var/lib/tigr-monitor"}
    assert mounted.keys() == {volume["name"] for volume in POD["spec"]["volumes"]}
    assert POD["spec"]["volumes"][0]["secret"]["secretName"] == SECRET["metadata"]["name"]
    assert "TIGR_STATE_DIR=/var/lib/tigr-monitor\n" in (ROOT / "Dockerfile").read_text()
