"""The Kubernetes manifests against the types that are generated from Kubernetes' API and from the operator's."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.checkout import ROOT
from tests.system.typescript import TypeChecker, install

_SCHEMA = Path(__file__).with_name("schema")
_FOLDER = ROOT / "kubernetes"
_MODULES = {"v1": "kubernetes-models/v1", "apps/v1": "kubernetes-models/apps/v1"} | {
    "networking.k8s.io/v1": "kubernetes-models/networking.k8s.io/v1",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
}
Manifest = dict[str, Any]

pytestmark = pytest.mark.system


def _manifests() -> Iterator[Manifest]:
    """Yield every object of every manifest."""
    for path in sorted(_FOLDER.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


MANIFESTS = {manifest["kind"]: manifest for manifest in _manifests()}


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> TypeChecker:
    """Return the compiler with the types of Kubernetes and of the operator."""
    return install(_SCHEMA, tmp_path_factory.mktemp("schema"), "manifests.ts")


def _typescript(manifests: list[Manifest]) -> str:
    """Return the manifests as TypeScript, each as a constant of its type, so that an unknown key is an error."""
    lines = []
    for number, manifest in enumerate(manifests):
        module, name = _MODULES[manifest["apiVersion"]], manifest["kind"]
        lines.append(f"import type {{ I{name} as Type{number} }} from '{module}/{name}';")
        lines.append(f"export const manifest{number}: Type{number} = {json.dumps(manifest)};")
    return "\n".join(lines)


def test_every_kind_of_manifest_is_known() -> None:
    """Every object of every file is checked."""
    assert len(MANIFESTS) == len(list(_manifests())) == 7
    assert {manifest["apiVersion"] for manifest in MANIFESTS.values()} == _MODULES.keys()


def _rule(manifest: Manifest) -> dict[str, Any]:
    """Return one alerting rule of the PrometheusRule."""
    rule: dict[str, Any] = manifest["spec"]["groups"][1]["rules"][1]
    return rule


_WRONG: dict[str, tuple[str, Callable[[Manifest], object]]] = {
    "unknown key of a rule": ("PrometheusRule", lambda m: _rule(m).update(keepFiringFor="1m")),
    "rule without an expression": ("PrometheusRule", lambda m: _rule(m).pop("expr")),
    "label that is no text": ("PrometheusRule", lambda m: _rule(m).update(labels={"a": 1})),
    "name of Prometheus instead of the operator's": (
        "PodMonitor",
        lambda m: m["spec"]["podMetricsEndpoints"][0]["relabelings"][0].update(target_label="job"),
    ),
    "unknown key of an endpoint": (
        "PodMonitor",
        lambda m: m["spec"]["podMetricsEndpoints"][0].update(scrape_timeout="4s"),
    ),
    "unknown key of a container": (
        "Deployment",
        lambda m: m["spec"]["template"]["spec"]["containers"][0].update(livenesProbe={}),
    ),
    "text instead of a number": ("Deployment", lambda m: m["spec"].update(replicas="1")),
    "unknown key of a port": ("NetworkPolicy", lambda m: m["spec"]["ingress"][0]["ports"][0].update(name="metrics")),
    "unknown key of a service": ("Service", lambda m: m["spec"].update(selectors={})),
    "binary data that is no text": ("ConfigMap", lambda m: m["data"].update(number=1)),
    "unknown key of a secret": ("Secret", lambda m: m.update(stringdata={})),
}


@pytest.fixture(scope="session")
def wrong_lines(checker: TypeChecker) -> dict[int, str]:
    """Return the compiler's errors by number: first the shipped manifests, then those with a wrong key or value."""
    manifests = list(MANIFESTS.values())
    for name, change in _WRONG.values():
        manifests.append(copy.deepcopy(MANIFESTS[name]))
        change(manifests[-1])
    errors = (re.match(r"manifests\.ts\((\d+),", line) for line in checker.errors(_typescript(manifests)))
    return {int(error[1]) // 2 - 1: error.string for error in errors if error}


def test_the_manifests_conform_to_the_types(wrong_lines: dict[int, str]) -> None:
    """Every key is known, its value has its type, and no required key is missing."""
    assert [error for number, error in wrong_lines.items() if number < len(MANIFESTS)] == []


def test_the_types_reject_wrong_keys_and_values(wrong_lines: dict[int, str]) -> None:
    """The compiler reports each single wrong key or value, in every kind of manifest."""
    assert [name for number, name in enumerate(_WRONG, len(MANIFESTS)) if number not in wrong_lines] == []
    assert {name for name, _ in _WRONG.values()} == MANIFESTS.keys()
