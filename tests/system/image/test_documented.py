"""The documented commands for containers, run with podman in the order of the documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.checkout import copy_to, git
from tests.system.image import documented
from tests.system.image.container import LIMITS
from tests.system.image.podman import Podman
from tests.system.transcript import DocumentedBlock, documented_blocks, documents_with

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "buildah", "podman", "unshare", "nsenter"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def walk(store: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[documented.Walk]:
    """Yield the reader of the documents after the last block; no output contains a secret."""
    folder, clone = tmp_path_factory.mktemp("documented"), tmp_path_factory.mktemp("clone")
    copy_to(clone)
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=clone")):
        git(clone, *arguments)
    with simulator_with_canaries() as simulator:
        options = [*LIMITS, "--network=host", f"--volume={simulator.ca_file}:/etc/ca.pem:ro"]
        options += ["--env=TIGR_CA_FILE=/etc/ca.pem", "--env=TIGR_PING_INTERVAL=2s"]
        for environment in simulator.environments.values():
            options += [f"--env={name}={url}" for name, url in environment.urls().items()]
        walk = documented.Walk(store, simulator, folder, clone)
        walk.run(options)
        yield walk
    assert not leaks("".join(outcome.output for outcome in walk.outcomes.values()), values(CANARIES))


def test_the_order_has_every_document_with_blocks_for_containers() -> None:
    """A document that gets such a block is added to the order."""
    assert documents_with("docker", "kubernetes") == set(documented.ORDER)


@pytest.mark.parametrize("each", documented_blocks(documented.ORDER, "docker", "kubernetes"), ids=str)
def test_every_documented_command_for_containers_succeeds(walk: documented.Walk, each: DocumentedBlock) -> None:
    """Only the commands that report the failure of the runbook have another status; those for Kubernetes run here."""
    if outcome := walk.outcomes.get(each):
        expected = documented.EXPECTED if each.document == documented.RUNBOOK else {}
        assert {
            command: status for command, status in outcome.failures.items() if expected.get(command) != status
        } == {}
        assert all(command in outcome.failures for command in expected if command in each.block.text), outcome
    else:
        assert "kubernetes" in each.block.installations
        assert "kubectl exec" not in each.block.text


def test_the_documented_removal_leaves_neither_container_nor_volume(store: Podman, walk: documented.Walk) -> None:
    """The last block removes both."""
    assert "tigr-monitor" not in store.podman("ps", "--all", "--format={{.Names}}").stdout.split()
    assert "tigr-monitor" not in store.podman("volume", "ls", "--format={{.Name}}").stdout.split()
