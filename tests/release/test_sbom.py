"""The SBOM has every locked package, conforms to CycloneDX, and depends on nothing but the commit."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion

from release import locked, sbom, third_party
from tests.support.checkout import ROOT

pytestmark = pytest.mark.once

MOMENT = "1700000000"


@pytest.fixture(scope="module")
def text() -> str:
    """Return the SBOM of these files as version 7.0.1."""
    return sbom.document(ROOT, "7.0.1", MOMENT)


@pytest.fixture(scope="module")
def tree(text: str) -> Any:  # noqa: ANN401 - a tree of JSON
    """Return the parsed SBOM."""
    return json.loads(text)


def pins(name: str) -> dict[str, str]:
    """Return the versions in a set, read without the code under test."""
    pairs = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE)
    return dict(pairs)


def test_it_conforms_to_the_schema(text: str) -> None:
    """The schema of CycloneDX 1.6 accepts it, and refuses it after a change: so the validator works."""
    from cyclonedx.validation.json import JsonStrictValidator  # takes 3 s: the collection of the tests does not need it

    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type": "library"', '"type": "book"')) is not None


@pytest.mark.parametrize(
    "name,installations",
    [
        ("runtime", {"image", "venv"}),
        ("demo", {"image of the demo", "Debian package"}),
        ("build", {"venv"}),
    ],
)
def test_it_has_every_package_of_every_installation(tree: Any, name: str, installations: set[str]) -> None:  # noqa: ANN401
    """Each locked package is a component that names the installations with it, and no other package is."""
    carried = {
        component["name"]: component["version"]
        for component in tree["components"]
        if installations <= {prop["value"] for prop in component["properties"]}
    }
    if name == "build":
        assert pins(name).items() <= carried.items()
    else:
        assert carried == pins(name)
    everything = pins("runtime") | pins("demo") | pins("build")
    assert {component["name"]: component["version"] for component in tree["components"]} == everything


def test_each_component_has_hashes_license_and_purl(tree: Any) -> None:  # noqa: ANN401
    """A component has the hashes of its locked files, a license, and the URL of the package."""
    requirements = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in ("demo", "build"))
    for component in tree["components"]:
        name, version = component["name"], component["version"]
        assert component["purl"] == f"pkg:pypi/{name}@{version}"
        (entry,) = re.findall(rf"^{name}==.*\n((?: +--hash=.*\n)+)", requirements, re.MULTILINE)
        (files,) = component["externalReferences"]
        assert {file["alg"] for file in files["hashes"]} == {"SHA-256"}
        assert {file["content"] for file in files["hashes"]} == set(re.findall(r"sha256:(\w+)", entry))
        (license_,) = component["licenses"]
        assert license_.get("expression") or license_["license"]["id"]


def test_it_describes_the_project(tree: Any) -> None:  # noqa: ANN401
    """The project has its version and license, no name on a package index, and its direct requirements."""
    project = tree["metadata"]["component"]
    assert (project["name"], project["version"]) == ("tigr-monitor", "7.0.1")
    assert project["purl"] == "pkg:generic/tigr-monitor@7.0.1"
    graph = {node["ref"]: set(node.get("dependsOn", [])) for node in tree["dependencies"]}
    direct = {ref.partition("==")[0] for ref in graph[project["bom-ref"]]}
    assert {"httpx", "uvicorn", "trustme", "hatchling"} <= direct
    assert "certifi" not in direct
    assert {ref.partition("==")[0] for ref in graph[f"jinja2=={pins('runtime')['jinja2']}"]} == {"markupsafe"}


def test_it_is_reproducible(text: str, tree: Any) -> None:  # noqa: ANN401
    """Another process with another hash seed writes the same bytes; the only time is that of the commit."""
    script = (
        "import pathlib, sys; from release import sbom; print(sbom.document(pathlib.Path(), *sys.argv[1:]), end='')"
    )
    environ = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-c", script, "7.0.1", MOMENT]
    again = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout
    assert again == text
    assert re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+\S*?(?=\")", text) == ["2023-11-14T22:13:20+00:00"]
    later = json.loads(sbom.document(ROOT, "7.0.1", "1700000001"))
    assert later["serialNumber"] != tree["serialNumber"]


def test_a_package_without_an_entry_in_third_party_is_refused(tmp_path: Path) -> None:
    """If a pin changed and THIRD-PARTY.txt was not written again, there is no SBOM."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    content = (ROOT / third_party.FILE).read_text(encoding="utf-8")
    changed = content.replace(f"\nh11 {pins('runtime')['h11']}\n", "\nh11 0.0.1\n")
    assert changed != content
    (tmp_path / third_party.FILE).write_text(changed, encoding="utf-8")
    with pytest.raises(ValueError, match=r"lacks h11 .*make third-party"):
        sbom.document(tmp_path, "7.0.1", MOMENT)


@pytest.mark.parametrize(
    "before,after,message",
    [("==0.16.0 \\\n", "==0.15.0 \\\n", "differently"), ("    # via", "    # from", "unknown form")],
)
def test_sets_in_another_form_are_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    """A set that the program cannot read, or that differs from another one, is an error and not an empty SBOM."""
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    path = tmp_path / "requirements" / "demo.txt"
    content = path.read_text()
    assert before in content
    path.write_text(content.replace(before, after))
    with pytest.raises(ValueError, match=message):
        locked.packages(tmp_path)
