"""Checks of compose.yaml and the Kubernetes manifests that need neither Docker nor a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor import __version__
from monitor.config.settings import load
from monitor.simulator import Simulator
from tests.support.checkout import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SECRET: dict[str, Any] = yaml.safe_load((ROOT / "kubernetes/secret.yaml").read_text())
DEPLOYMENT, SERVICE, POD_MONITOR = yaml.safe_load_all((ROOT / "kubernetes/tigr-monitor.yaml").read_text())
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
NAMES = ("client_id", "client_secret", "username", "password")
SECRETS = {f"tigr_environments__{env}__{name}" for env in ("prod", "uat") for name in NAMES}
LABELS = {"app.kubernetes.io/name": "tigr-monitor"}


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


@pytest.mark.parametrize("selector", [DEPLOYMENT["spec"]["selector"], POD_MONITOR["spec"]["selector"]])
def test_selectors_match_the_pod(selector: dict[str, Any]) -> None:
    """Every selector uses the label of the pod."""
    assert selector == {"matchLabels": LABELS}
    assert LABELS == POD["metadata"]["labels"] == SERVICE["spec"]["selector"]


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
