"""The root of a Debian, and the images that are built from it, for all tests of this package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from tests.support.canaries import CANARIES, simulator_with_canaries
from tests.support.checkout import copy_to
from tests.system.image.container import FIRST, IMAGE, REVISION
from tests.system.image.podman import Podman, podman
from tests.system.ports import reserved_ports
from tests.system.systemd.roots import create, scratch


@pytest.fixture(scope="package")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the root of a Debian 13 with Python and pip."""
    directory = tmp_path_factory.mktemp("debian")
    with scratch(directory) as root:
        create("trixie", root, ["python3", "python3-pip", "ca-certificates", "tzdata"])
        yield root
    shutil.rmtree(directory)


@pytest.fixture(scope="package")
def store(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """Yield a store with the base image and the images of `make image` in a clone that contains secret files.

    The image of the demo is built from the digest of the base image, the other one from its tag.
    """
    directory = tmp_path_factory.mktemp("image")
    clone = directory / "clone"
    copy_to(clone)
    (clone / "secrets").mkdir()
    for path in (clone / ".env", clone / "secrets" / "password", clone / "monitor" / ".secret"):
        path.write_text(CANARIES.password)
    with podman(directory) as running:
        running.make_base(debian)
        build = f"BUILD_IMAGE={' '.join(running.build(clone))}"
        for target, base in (("monitor", ""), ("demo", running.pinned_base())):
            command = ["make", "image", build, f"TARGET={target}", f"REVISION={REVISION}", f"PYTHON_IMAGE={base}"]
            done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        running.podman("tag", IMAGE, FIRST)
        with reserved_ports():
            yield running
    shutil.rmtree(directory)


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
