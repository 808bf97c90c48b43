"""Tests of the image: its contents, and its operation with minimal rights."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor import __version__
from monitor.simulator import Simulator
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.checkout import copy_to, git, tracked
from tests.support.harness import value
from tests.support.process import get, wait_for
from tests.system.image import documented
from tests.system.image.podman import BASE, Podman, podman
from tests.system.systemd.machine import install
from tests.system.transcript import DocumentedBlock, documented_blocks, documents_with

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "buildah", "podman", "unshare", "nsenter"),
    pytest.mark.timeout(1200),
]

PORT = 9844
PATIENCE = 30.0  # seconds
MAX_SIZE = 45e6  # bytes on top of the base image
REVISION = "0123456789abcdef"
# Tests cannot raise these limits, and podman's defaults would raise them.
LIMITS = ["--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Yield a store with the base image and the images of `make image` in a clone that contains secret files."""
    directory = tmp_path_factory.mktemp("image")
    root, clone = directory / "debian", directory / "clone"
    install("trixie", ["python3", "python3-pip", "ca-certificates", "tzdata"], root)
    copy_to(clone)
    (clone / "secrets").mkdir()
    for path in (clone / ".env", clone / "secrets" / "password", clone / "monitor" / ".secret"):
        path.write_text(CANARIES.password)
    with podman(directory) as running:
        running.make_base(root)
        shutil.rmtree(root)
        build = f"BUILD_IMAGE={' '.join(running.build(clone))}"
        for target in ("monitor", "demo"):
            command = ["make", "image", build, f"TARGET={target}", f"REVISION={REVISION}"]
            done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        yield running
    shutil.rmtree(directory)


IMAGE = f"tigr-monitor:{__version__}"


@contextmanager
def container(store: Podman, *options: str, image: str = IMAGE) -> Iterator[str]:
    """Run a container in the background; yield its name."""
    name = "under-test"
    store.podman("run", "--detach", "--name", name, *LIMITS, *CONFINED, *options, image)
    try:
        yield name
    finally:
        store.podman("rm", "--force", "--volumes", name)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments with recognizable secrets."""
    with simulator_with_canaries() as running:
        yield running


@pytest.fixture
def options(simulator: Simulator, tmp_path: Path) -> list[str]:
    """Return the options of a container: the secrets are files in /run/secrets, all other settings are variables."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    arguments = [f"--volume={secrets}:/run/secrets:ro", f"--volume={simulator.ca_file}:/etc/ca.pem:ro"]
    arguments += ["--env=TIGR_CA_FILE=/etc/ca.pem", "--env=TIGR_PING_INTERVAL=2s"]
    for environment in simulator.environments.values():
        arguments += [f"--env={name}={url}" for name, url in environment.urls().items()]
        for name, secret in environment.secrets().items():
            path = secrets / name.lower()
            path.write_text(secret)
            path.chmod(0o444)
    tmp_path.chmod(0o755)
    return arguments


def up(environment: str) -> bool:
    """Return True if the most recent ping of an environment succeeded."""
    try:
        return value(get(PORT, "/metrics")[1], "tigr_up", environment=environment, endpoint="ping") == 1
    except OSError:
        return False


def test_the_container_runs_confined(store: Podman, options: list[str]) -> None:
    """A read-only container without capabilities and with a numeric user works, and stops with status 0."""
    with container(store, *options) as name:
        wait_for(lambda: up("prod") and up("uat"), "it is scraped", PATIENCE)
        assert store.podman("healthcheck", "run", name).returncode == 0
        status = store.podman("exec", name, "cat", "/proc/1/status").stdout
        assert re.search(r"^Uid:\t65532\t65532\t65532\t65532$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
        assert "tigr-monitor" in store.podman("exec", name, "cat", "/proc/1/cmdline").stdout
        assert store.podman("exec", name, "touch", "/opt/x", check=False).returncode != 0
        for file in ("state.json", "journal.sqlite3"):
            store.podman("exec", name, "test", "-s", f"/var/lib/tigr-monitor/{file}")
        store.podman("stop", "--time=10", name)
        assert store.inspect("container", name)["State"]["ExitCode"] == 0
        log = store.podman("logs", name)
        output = log.stdout + log.stderr
    assert "msg=stopping" in output
    assert not leaks(output, values(CANARIES))


def test_missing_secrets_are_reported(store: Podman) -> None:
    """A container without secrets names the missing settings and exits with status 2."""
    ended = store.podman("run", "--rm", *LIMITS, *CONFINED, IMAGE, check=False)
    assert ended.returncode == 2
    assert "TIGR_ENVIRONMENTS__PROD__PASSWORD: is missing" in ended.stderr


def test_a_manual_check_works_in_the_container(store: Podman, options: list[str]) -> None:
    """A check with `podman exec` goes through the monitor of the container, and its health check needs no password."""
    with container(store, *options) as name:
        wait_for(lambda: up("prod"), "it is scraped", PATIENCE)
        assert re.search(
            r"^prod: .*?✓ ping ", store.podman("exec", name, "tigr-monitor", "check").stdout, re.DOTALL | re.MULTILINE
        )


def test_the_demo_runs_confined(store: Podman) -> None:
    """The demo needs a temporary directory for its certificates, and no other rights."""
    with container(store, "--tmpfs=/tmp", image=f"{IMAGE}-demo") as name:
        wait_for(lambda: up("prod"), "the demo is scraped", PATIENCE)
        store.podman("stop", "--time=10", name)
        assert store.inspect("container", name)["State"]["ExitCode"] == 0


def test_the_image_contains_the_whole_package(store: Podman) -> None:
    """The image contains every tracked file of `monitor`."""
    folder = "/opt/tigr-monitor/lib/python3.13/site-packages"
    script = f"cd {folder}; find monitor -type f -not -name '*.pyc'"
    output = store.podman("run", "--rm", *LIMITS, "--entrypoint=sh", "--network=none", IMAGE, "-c", script).stdout
    assert set(output.split()) == tracked("monitor")


def test_the_image_is_small(store: Podman) -> None:
    """The image adds at most 45 MB to its base and contains no build tools."""
    assert store.inspect("image", IMAGE)["Size"] - store.inspect("image", BASE)["Size"] <= MAX_SIZE
    script = "for tool in pip pip3 gcc cc make git python; do command -v $tool || true; done; python -m pip || true"
    output = store.podman("run", "--rm", *LIMITS, "--entrypoint=sh", "--network=none", IMAGE, "-c", script).stdout
    assert output == "/opt/tigr-monitor/bin/python\n"


def test_the_image_has_its_labels(store: Podman) -> None:
    """The image has the labels that registries show, its user, its health check and its version."""
    config = store.inspect("image", IMAGE)["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels.pop("description")
    expected = {"title": "tigr-monitor", "licenses": "Apache-2.0", "version": __version__, "revision": REVISION}
    assert expected.items() <= labels.items()
    assert config["User"] == "65532:65532"
    assert store.inspect("image", IMAGE)["Healthcheck"]["Test"] == ["CMD", "tigr-monitor", "health"]
    version = store.podman("run", "--rm", *LIMITS, *CONFINED, IMAGE, "--version").stdout
    assert version == f"tigr-monitor {__version__}\n"


def test_no_secret_file_of_the_clone_is_in_the_image(store: Podman, tmp_path: Path) -> None:
    """No layer and no history entry contains a secret that was in the clone during the build."""
    archive = tmp_path / "image.tar"
    store.podman("save", "--output", archive, IMAGE)
    leaked = []
    with tarfile.open(archive) as image:
        for part in image.getmembers():
            content = image.extractfile(part)
            if content and CANARIES.password.encode() in content.read():
                leaked.append(part.name)
    assert not leaked
    assert CANARIES.password not in store.podman("history", "--no-trunc", IMAGE).stdout


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
