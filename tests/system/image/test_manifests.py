"""compose.yaml and the Kubernetes manifests: what can be known of them without Docker or a cluster."""

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


def test_compose_mounts_files_that_are_there() -> None:
    """Docker makes a folder of what it does not find, and says nothing."""
    mounted = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    sources = [volume.split(":")[0] for volume in mounted]
    assert all((ROOT / source).exists() for source in sources if source.startswith("./"))
    assert {source for source in sources if not source.startswith("./")} == COMPOSE["volumes"].keys()


def test_compose_is_reached_from_this_machine_alone() -> None:
    """Nothing in it asks for a password."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert {port.split(":")[2] for port in ports} == {"3000", "9090", "9093", "9844"}
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_has_a_stage_of_the_image_for_each_profile() -> None:
    """The demo's, and the monitor's."""
    stages = (ROOT / "Dockerfile").read_text()
    for name, profile in (("demo", "demo"), ("monitor", "real")):
        service = COMPOSE["services"][name]
        assert service["profiles"] == [profile]
        assert f" AS {service['build']['target']}\n" in stages
        assert service["network_mode"] == "service:prometheus"
        assert service["read_only"]


def test_the_secrets_are_all_that_is_needed(tmp_path: Path) -> None:
    """As files under these names, and none of them has a value here."""
    assert set(COMPOSE["services"]["monitor"]["secrets"]) == COMPOSE["secrets"].keys() == SECRETS
    assert SECRET["stringData"] == dict.fromkeys(SECRETS, "")
    with Simulator() as simulator:
        for name, value in simulator.settings().items():
            (tmp_path / name.lower()).write_text(value)
        loaded = load({"TIGR_SECRETS_DIR": str(tmp_path)})
    assert {own.name for own in loaded.settings.environments} == {"prod", "uat"}


@pytest.mark.parametrize("selector", [DEPLOYMENT["spec"]["selector"], POD_MONITOR["spec"]["selector"]])
def test_what_selects_finds_the_pod(selector: dict[str, Any]) -> None:
    """By the label that it has."""
    assert selector == {"matchLabels": LABELS}
    assert LABELS == POD["metadata"]["labels"] == SERVICE["spec"]["selector"]


def test_ports_are_meant_by_their_name() -> None:
    """The one port that the container has, which the image listens on."""
    (port,) = CONTAINER["ports"]
    assert port == {"name": "metrics", "containerPort": 9844}
    probes = [CONTAINER[probe]["httpGet"] for probe in ("livenessProbe", "readinessProbe")]
    assert [probe["port"] for probe in probes] == ["metrics", "metrics"]
    assert [probe["path"] for probe in probes] == ["/-/healthy", "/-/ready"]
    assert SERVICE["spec"]["ports"][0]["targetPort"] == "metrics"
    assert POD_MONITOR["spec"]["podMetricsEndpoints"][0]["port"] == "metrics"


def test_the_pod_is_confined() -> None:
    """As a user without rights, on a system that it cannot write to, and without what Kubernetes gives to all."""
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


def test_what_is_mounted_is_a_volume() -> None:
    """The Secret where the image looks for it, and the state where the image keeps it."""
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert mounted == {"secrets": "/run/secrets", "state": "/var/lib/tigr-monitor"}
    assert mounted.keys() == {volume["name"] for volume in POD["spec"]["volumes"]}
    assert POD["spec"]["volumes"][0]["secret"]["secretName"] == SECRET["metadata"]["name"]
    assert "TIGR_STATE_DIR=/var/lib/tigr-monitor\n" in (ROOT / "Dockerfile").read_text()
