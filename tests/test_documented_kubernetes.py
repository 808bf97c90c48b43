"""The documented kubectl commands: files, objects, namespaces and labels are those of the manifests."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import blocks, documents
from tests.support.checkout import ROOT, copy_to

pytestmark = pytest.mark.once

NAMESPACE = "monitoring"
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (manifest["kind"].lower(), manifest["metadata"]["name"]): manifest
    for path in sorted((ROOT / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text("utf-8"))
}
LABELS: dict[str, str] = OBJECTS["deployment", "tigr-monitor"]["spec"]["template"]["metadata"]["labels"]
# Fields of objects of the operator, in its API reference.
SELECTORS = ("podMonitorSelector", "ruleSelector", "podMonitorNamespaceSelector", "ruleNamespaceSelector")


def commands() -> list[str]:
    """Return the documented commands for Kubernetes."""
    return [
        line
        for name in documents.DOCUMENTS
        for block in blocks.fenced(documents.text(name))
        if "kubernetes" in block.installations and not block.untested
        for line in block.text.splitlines()
    ]


def problem(command: str) -> str:
    """Return the part of a kubectl command that does not fit the manifests, or an empty string."""
    parts = shlex.split(command)
    before = parts[: parts.index("--")] if "--" in parts else parts
    program, verb, *arguments = before
    options = {}
    names = []
    while arguments:
        word = arguments.pop(0)
        if word in {"--namespace", "--filename", "--selector", "--output"}:
            value = arguments.pop(0)
            if reason := _option_problem(word, value):
                return reason
            options[word] = value
        elif word.startswith("--") and word.partition("=")[0] not in {"--all-namespaces", "--since"}:
            return f"unknown option {word}"
        else:
            names.append(word)
    if program != "kubectl":
        return f"not kubectl but {program}"
    needs_namespace = verb not in {"create", "explain"} and "--all-namespaces" not in names
    if needs_namespace and "--namespace" not in options:
        return "without a namespace"
    return _verb_problem(verb, [name for name in names if not name.startswith("--")])


def _option_problem(option: str, value: str) -> str:
    """Return the problem of an option with a value."""
    if option == "--namespace":
        return "" if value == NAMESPACE else f"unknown namespace {value}"
    if option == "--filename":  # secret.yaml is a copy of the manifest, outside the clone
        known = (ROOT / value).is_file() or (ROOT / "kubernetes" / value).is_file()
        return "" if known else f"unknown file {value}"
    if option == "--selector":
        name, _, wanted = value.partition("=")
        return "" if LABELS.get(name) == wanted else f"no pod has the label {value}"
    path = re.fullmatch(r"jsonpath=\{\.items\[\*\]\.spec\.(\w+)\}", value)
    return "" if path and path[1] in SELECTORS else f"unknown output {value}"


def _verb_problem(verb: str, names: list[str]) -> str:
    """Return the problem of the objects that a command names."""
    if verb == "create":
        return "" if names == ["namespace", NAMESPACE] else f"unknown object {' '.join(names)}"
    if verb == "explain":
        (path,) = names
        resource, *fields = path.split(".")
        return "" if _has_field(OBJECTS[resource, "tigr-monitor"], fields) else f"no manifest has the field {path}"
    if verb == "get":
        return (
            ""
            if names in (["prometheus", "--all-namespaces"], ["prometheus"], ["pods"])
            else f"unknown resource {names}"
        )
    if verb not in {"apply", "delete", "exec", "label", "logs", "rollout"}:
        return f"unknown verb {verb}"
    for name in names[1:] if verb == "rollout" else names:
        resource, slash, named = name.partition("/")
        if slash and (resource, named) not in OBJECTS:
            return f"unknown object {name}"
        if not slash and not (verb == "label" and re.fullmatch(r"release=[\w-]+", name)):
            return f"unknown argument {name}"
    return ""


def _has_field(node: object, fields: list[str]) -> bool:
    """Return whether an object, or one of the objects in a list, has a field at this path."""
    if isinstance(node, list):
        return any(_has_field(each, fields) for each in node)
    if not fields:
        return True
    return isinstance(node, dict) and fields[0] in node and _has_field(node[fields[0]], fields[1:])


@pytest.mark.parametrize("command", [each for each in commands() if not each.startswith("sed ")])
def test_a_kubectl_command_fits_the_manifests(command: str) -> None:
    """Its namespace, files, objects, labels and fields exist."""
    assert problem(command) == ""


@pytest.mark.parametrize(
    "command,reason",
    [
        ("kubectl exec --namespace monitoring deployment/tigr -- tigr-monitor check", "unknown object deployment/tigr"),
        ("kubectl exec deployment/tigr-monitor -- tigr-monitor status", "without a namespace"),
        ("kubectl logs --namespace tigr deployment/tigr-monitor", "unknown namespace tigr"),
        ("kubectl apply --namespace monitoring --filename kubernetes/no.yaml", "unknown file kubernetes/no.yaml"),
        ("kubectl get pods --namespace monitoring --selector app=tigr", "no pod has the label app=tigr"),
        ("kubectl explain prometheusrule.spec.no", "no manifest has the field prometheusrule.spec.no"),
        ("kubectl scale --namespace monitoring deployment/tigr-monitor", "unknown verb scale"),
        ("kubectl exec --namespace monitoring --tty deployment/tigr-monitor", "unknown option --tty"),
    ],
)  # fmt: skip
def test_a_kubectl_command_that_does_not_fit_is_found(command: str, reason: str) -> None:
    """Each check can fail."""
    assert problem(command) == reason


def test_the_other_commands_for_kubernetes_work_in_a_clone(tmp_path: Path) -> None:
    """They are commands of a shell that print changed manifests."""
    others = [command for command in commands() if not command.startswith("kubectl ")]
    assert others
    copy_to(tmp_path)
    for command in others:
        ended = subprocess.run(["bash", "-ec", command], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert [each["metadata"]["name"] for each in yaml.safe_load_all(ended.stdout)] == ["tigr-second"] * 2
