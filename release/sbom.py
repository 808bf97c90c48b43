"""The software bill of materials (SBOM): the Python packages of the installations, as JSON of CycloneDX 1.6."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from release import locked, third_party

_SCOPES = {"runtime": ComponentScope.REQUIRED, "demo": ComponentScope.OPTIONAL, "build": ComponentScope.EXCLUDED}


def document(root: Path, version: str, moment: str) -> str:
    """Return the SBOM of a version; `moment` is the time of its commit, in Unix seconds.

    The same arguments give the same text. Raises `ValueError` if THIRD-PARTY.txt does not have the locked packages.
    """
    packages = locked.packages(root)
    bom = Bom(version=1)
    project = Component(
        name=locked.PROJECT,
        version=version,
        type=ComponentType.APPLICATION,
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
        # Not a name on a package index: the package is on none.
        purl=PackageURL("generic", name=locked.PROJECT, version=version),
        bom_ref=f"{locked.PROJECT}=={version}",
    )
    bom.metadata.component = project
    bom.metadata.timestamp = dt.datetime.fromtimestamp(int(moment), dt.UTC)
    licenses = third_party.listed(root)
    components = {package.name: _component(package, licenses) for package in packages}
    bom.components.update(components.values())
    everything = {locked.PROJECT: project} | components
    for name, component in everything.items():
        needed = (components[package.name] for package in packages if name in package.parents)
        bom.register_dependency(component, needed)
    # The number comes from the content instead of a random source, so that the same commit gives the same bytes.
    bom.serial_number = uuid.UUID(int=0)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, JsonV1Dot6(bom).output_as_string())
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(package: locked.Package, licenses: dict[tuple[str, str], str]) -> Component:
    license_ = licenses.get((package.name, package.version))
    if license_ is None:
        raise ValueError(
            f"THIRD-PARTY.txt lacks {package.name} {package.version}: run `make third-party`, and commit it."
        )
    purl = PackageURL("pypi", name=package.name, version=package.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(purl.to_string()),
        comment="SHA-256 of each file of this version; an installation accepts no other",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
    )
    installations = {name for set_ in package.sets for name in locked.INSTALLATIONS[set_]}
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        scope=next(scope for name, scope in _SCOPES.items() if name in package.sets),
        licenses=[LicenseFactory().make_from_string(license_)],
        purl=purl,
        bom_ref=f"{package.name}=={package.version}",
        external_references=[files],
        properties=[Property(name="tigr-monitor:installation", value=name) for name in installations],
    )
