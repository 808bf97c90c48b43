"""The image: what is in it, and how it runs with nothing but what it needs."""

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
from tests.support.checkout import copy_to, tracked
from tests.support.harness import value
from tests.support.process import get, wait_for
from tests.system.image.podman import BASE, Podman, podman
from tests.system.systemd.machine import install

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "buildah", "podman", "unshare", "nsenter"),
    pytest.mark.timeout(420),
]

PORT = 9844
PATIENCE = 30.0  # seconds
MOST = 45e6  # bytes on top of the base image
REVISION = "0123456789abcdef"
# No limit of this kind can be raised where tests run; podman's own defaults would be.
LIMITS = ["--cgroups=disabled", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """The base image, and on it the monitor's and the demo's, by `make image` in a clone where secrets lie about."""
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
    """Run one in the background; its name."""
    name = "under-test"
    store.podman("run", "--detach", "--name", name, *LIMITS, *CONFINED, *options, image)
    try:
        yield name
    finally:
        store.podman("rm", "--force", "--volumes", name)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Both environments, with secrets that can be found again."""
    with simulator_with_canaries() as running:
        yield running


@pytest.fixture
def options(simulator: Simulator, tmp_path: Path) -> list[str]:
    """What a container is given to watch the simulator: the secrets as files in /run/secrets, the rest as variables."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    given = [f"--volume={secrets}:/run/secrets:ro", f"--volume={simulator.ca_file}:/etc/ca.pem:ro"]
    given += ["--env=TIGR_CA_FILE=/etc/ca.pem", "--env=TIGR_PING_INTERVAL=2s"]
    for environment in simulator.environments.values():
        given += [f"--env={name}={url}" for name, url in environment.urls().items()]
        for name, secret in environment.secrets().items():
            path = secrets / name.lower()
            path.write_text(secret)
            path.chmod(0o444)
    tmp_path.chmod(0o755)
    return given


def up(environment: str) -> bool:
    """Whether its pings are well."""
    try:
        return value(get(PORT, "/metrics")[1], "tigr_up", environment=environment, endpoint="ping") == 1
    except OSError:
        return False


def test_it_runs_with_nothing_but_its_secrets(store: Podman, options: list[str]) -> None:
    """Read-only, without capabilities, as a user that is a number: it is scraped, healthy, and stops with status 0."""
    with container(store, *options) as name:
        wait_for(lambda: up("prod") and up("uat"), "it is scraped", PATIENCE)
        assert store.podman("healthcheck", "run", name).returncode == 0
        status = store.podman("exec", name, "cat", "/proc/1/status").stdout
        assert re.search(r"^Uid:\t65532\t65532\t65532\t65532$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
        assert "tigr-monitor" in store.podman("exec", name, "cat", "/proc/1/cmdline").stdout
        assert store.podman("exec", name, "touch", "/opt/x", check=False).returncode != 0
        store.podman("exec", name, "test", "-s", "/var/lib/tigr-monitor/state.json")
        store.podman("stop", "--time=10", name)
        assert store.inspect("container", name)["State"]["ExitCode"] == 0
        log = store.podman("logs", name)
        said = log.stdout + log.stderr
    assert "msg=stopping" in said
    assert not leaks(said, values(CANARIES))


def test_without_secrets_it_says_what_is_missing(store: Podman) -> None:
    """And ends with status 2, so that a restart policy can tell."""
    ended = store.podman("run", "--rm", *LIMITS, *CONFINED, IMAGE, check=False)
    assert ended.returncode == 2
    assert "TIGR_ENVIRONMENTS__PROD__PASSWORD: is missing" in ended.stderr


def test_a_check_by_hand_works_beside_it(store: Podman, options: list[str]) -> None:
    """`exec` has the same secrets."""
    with container(store, *options) as name:
        wait_for(lambda: up("prod"), "it is scraped", PATIENCE)
        assert re.search(r"prod +login +ok", store.podman("exec", name, "tigr-monitor", "check").stdout)


def test_the_demo_runs_as_confined(store: Podman) -> None:
    """It needs a place for its certificates, and nothing else."""
    with container(store, "--tmpfs=/tmp", image=f"{IMAGE}-demo") as name:
        wait_for(lambda: up("prod"), "the demo is scraped", PATIENCE)
        store.podman("stop", "--time=10", name)
        assert store.inspect("container", name)["State"]["ExitCode"] == 0


def test_it_holds_the_package_whole(store: Podman) -> None:
    """What is kept out of the build is not missing in the end."""
    folder = "/opt/tigr-monitor/lib/python3.13/site-packages"
    look = f"cd {folder}; find monitor -type f -not -name '*.pyc'"
    found = store.podman("run", "--rm", *LIMITS, "--entrypoint=sh", "--network=none", IMAGE, "-c", look).stdout
    assert set(found.split()) == tracked("monitor")


def test_it_is_small(store: Podman) -> None:
    """On top of its base, without what built it."""
    assert store.inspect("image", IMAGE)["Size"] - store.inspect("image", BASE)["Size"] <= MOST
    look = "for tool in pip pip3 gcc cc make git python; do command -v $tool || true; done; python -m pip || true"
    found = store.podman("run", "--rm", *LIMITS, "--entrypoint=sh", "--network=none", IMAGE, "-c", look).stdout
    assert found == "/opt/tigr-monitor/bin/python\n"


def test_it_says_what_it_is(store: Podman) -> None:
    """By the labels that registries show."""
    config = store.inspect("image", IMAGE)["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels.pop("description")
    expected = {"title": "tigr-monitor", "licenses": "Apache-2.0", "version": __version__, "revision": REVISION}
    assert expected.items() <= labels.items()
    assert config["User"] == "65532:65532"
    assert store.inspect("image", IMAGE)["Healthcheck"]["Test"] == ["CMD", "tigr-monitor", "health"]
    version = store.podman("run", "--rm", *LIMITS, *CONFINED, IMAGE, "--version").stdout
    assert version == f"tigr-monitor {__version__}\n"


def test_nothing_of_the_clone_gets_in_that_does_not_belong(store: Podman, tmp_path: Path) -> None:
    """Neither into a layer nor into the history, whatever lay about when it was built."""
    archive = tmp_path / "image.tar"
    store.podman("save", "--output", archive, IMAGE)
    found = []
    with tarfile.open(archive) as image:
        for part in image.getmembers():
            content = image.extractfile(part)
            if content and CANARIES.password.encode() in content.read():
                found.append(part.name)
    assert not found
    assert CANARIES.password not in store.podman("history", "--no-trunc", IMAGE).stdout
