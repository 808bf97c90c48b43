"""Tests of the image: its contents, and its operation with minimal rights."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from monitor import __version__
from release import third_party
from tests.support.canaries import CANARIES, leaks, values
from tests.support.checkout import ROOT, tracked
from tests.support.process import wait_for
from tests.system.image.container import (
    CONFINED,
    FIRST,
    IMAGE,
    LIMITS,
    PATIENCE,
    REVISION,
    container,
    no_core_dumps,
    up,
)
from tests.system.image.podman import BASE, Podman

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "buildah", "podman", "unshare", "nsenter"),
    pytest.mark.timeout(1200),
]

MAX_SIZE = 45e6  # bytes on top of the base image


def test_the_container_runs_confined(store: Podman, options: list[str]) -> None:
    """A read-only container without capabilities and with a numeric user works, and stops with status 0."""
    with container(store, *options) as name:
        wait_for(lambda: up("prod") and up("uat"), "it is scraped", PATIENCE)
        assert store.podman("healthcheck", "run", name).returncode == 0
        assert store.podman("exec", name, "tigr-monitor", "health").stdout
        status = store.podman("exec", name, "cat", "/proc/1/status").stdout
        assert re.search(r"^Uid:\t65532\t65532\t65532\t65532$", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
        assert no_core_dumps(store, name)
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


def test_the_image_contains_the_licenses(store: Podman) -> None:
    """The image contains THIRD-PARTY.txt, and no Python package that is not in it."""
    script = "cd /opt/tigr-monitor/lib/python3.13/site-packages; cat tigr_monitor-*.dist-info/licenses/THIRD-PARTY.txt"
    run = ["run", "--rm", *LIMITS, "--entrypoint=sh", "--network=none"]
    assert store.podman(*run, IMAGE, "-c", script).stdout == (ROOT / "THIRD-PARTY.txt").read_text(encoding="utf-8")
    names = (
        """from importlib.metadata import distributions; print(*(f"{d.name}=={d.version}" for d in distributions()))"""
    )
    for image in (IMAGE, f"{IMAGE}-demo"):
        output = store.podman(*run[:-2], "--entrypoint=python", "--network=none", image, "-c", names).stdout
        packages = {
            tuple(canonicalize_name(part) if not i else part for i, part in enumerate(text.split("==")))
            for text in output.split()
        }
        packages.remove(("tigr-monitor", __version__))
        assert packages <= third_party.listed(ROOT).keys()
        assert len(packages) > 15


def test_the_image_is_small(store: Podman) -> None:
    """The image adds at most 45 MB to its base and contains no build tools."""
    assert store.inspect("image", IMAGE)["Size"] - store.inspect("image", BASE)["Size"] <= MAX_SIZE
    script = "for tool in pip pip3 gcc cc make git python; do command -v $tool || true; done; python -m pip || true"
    output = store.podman("run", "--rm", *LIMITS, "--entrypoint=sh", "--network=none", IMAGE, "-c", script).stdout
    assert output == "/opt/tigr-monitor/bin/python\n"


def test_the_image_has_its_labels(store: Podman) -> None:
    """The image has the labels that registries show, its user, its health check and its version."""
    config = store.inspect("image", FIRST)["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels.pop("description")
    expected = {"title": "tigr-monitor", "licenses": "Apache-2.0", "version": __version__, "revision": REVISION}
    assert expected.items() <= labels.items()
    assert labels["base.name"] == BASE.rpartition("/")[2]
    demo = store.inspect("image", f"{IMAGE}-demo")["Config"]["Labels"]["org.opencontainers.image.base.name"]
    assert re.fullmatch(r"docker\.io/library/python@sha256:[0-9a-f]{64}", demo)
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
