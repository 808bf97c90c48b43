"""The Quadlet file: the service that Podman makes of it, and the container that the service starts."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor import __version__
from monitor.simulator import Simulator
from tests.support.canaries import CANARIES, leaks, values
from tests.support.checkout import ROOT
from tests.support.process import wait_for
from tests.system.image.container import LIMITS, PATIENCE, no_core_dumps, up
from tests.system.image.podman import Podman
from tests.system.prometheus.versions import UnreachableError, extract

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "buildah", "podman", "unshare", "nsenter", "apt-get", "chroot"),
    pytest.mark.timeout(900),
]

UNIT = ROOT / "systemd" / "tigr-monitor.container"
GENERATOR = "usr/lib/systemd/system-generators/podman-system-generator"
NAME = "tigr-monitor"


@pytest.fixture(scope="module")
def generate(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the directory of Quadlet files in a Debian 13 with the Quadlet of its podman."""
    try:
        unpacked = extract(tmp_path_factory.mktemp("podman"), "trixie", "podman")
    except UnreachableError as error:
        pytest.skip(f"apt-get cannot get the podman of Debian 13: {error}")
    for name in (GENERATOR, "usr/libexec/podman/quadlet"):
        target = debian / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(unpacked / name, target, follow_symlinks=False)
    directory = debian / "etc" / "containers" / "systemd"
    directory.mkdir(parents=True)
    yield directory
    shutil.rmtree(unpacked)


def dry_run(directory: Path, content: str) -> subprocess.CompletedProcess[str]:
    """Return the output of Quadlet for a file with this content."""
    (directory / UNIT.name).write_text(content)
    command = ["chroot", str(directory.parents[2]), f"/{GENERATOR}", "--dryrun"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def service(generate: Path) -> str:
    """Return the service that Quadlet makes of the file."""
    done = dry_run(generate, UNIT.read_text())
    assert done.returncode == 0, done.stderr
    assert "---tigr-monitor.service---" in done.stdout
    return done.stdout


def setting(service: str, name: str) -> str:
    """Return the only value of a setting of the service."""
    (text,) = re.findall(rf"^{name}=(.+)$", service, re.MULTILINE)
    return str(text)


@pytest.fixture
def command(service: str) -> list[str]:
    """Return the arguments of podman in the service."""
    program, *arguments = shlex.split(setting(service, "ExecStart"))
    assert program == "/usr/bin/podman"
    return arguments


def test_the_service_is_confined_and_restarted(service: str, command: list[str]) -> None:
    """The container has no rights, its port is local, and systemd restarts it except after a wrong setting."""
    assert {"--read-only", "--security-opt=no-new-privileges", "--ulimit=core=0:0"} <= {*command}
    assert command[command.index("--cap-drop") + 1] == "all"
    assert command[command.index("--publish") + 1] == "127.0.0.1:9844:9844"
    assert {"--pull=never", "--sdnotify=container", "--health-on-failure=kill"} <= {*command}
    assert command[-1] == f"localhost/{NAME}:{__version__}"
    unit = (ROOT / "systemd" / "tigr-monitor.service").read_text()
    for name in ("Type", "Restart", "RestartPreventExitStatus", "RestartSec", "StartLimitIntervalSec", "WantedBy"):
        assert setting(service, name) == setting(unit, name)
    assert setting(service, "ExecReload") == f"/usr/bin/podman exec {NAME} {NAME} reload"


def test_every_secret_is_passed(command: list[str]) -> None:
    """Each file of Compose's secrets is a secret of Podman that only the monitor can read."""
    names = re.findall(r"^  (tigr_\w+):$", (ROOT / "compose.yaml").read_text(), re.MULTILINE)
    assert len(names) == 8
    passed = {argument for argument in command if argument.startswith("--secret=")}
    assert passed == {f"--secret={name},uid=65532,gid=65532,mode=0400" for name in names}


def test_the_alternatives_in_comments_are_valid(generate: Path) -> None:
    """Every commented line is accepted by Quadlet, and an unknown key is not: so Quadlet checks the keys."""
    text = re.sub(r"^#(?=[A-Z]\w+=)", "", UNIT.read_text(), flags=re.MULTILINE)
    assert text.count("\nVolume=") == 3
    done = dry_run(generate, text)
    assert done.returncode == 0, done.stderr
    assert "/etc/tigr-monitor/secrets:/run/secrets:ro" in done.stdout
    assert "unsupported key" in dry_run(generate, text.replace("\nReadOnly=", "\nReadOnlyy=")).stderr


def in_this_machine(command: list[str], simulator: Simulator, cidfile: Path) -> list[str]:
    """Return the arguments without what needs systemd, control groups or a bridge, and with the simulator's URLs."""
    unavailable = {"--cgroups=split", "--publish", "127.0.0.1:9844:9844"}
    replaced = ("%t/%N.cid", str(cidfile))
    arguments = [argument.replace(*replaced) for argument in command if argument not in unavailable]
    settings = [f"--env={name}={url}" for env in simulator.environments.values() for name, url in env.urls().items()]
    settings += ["--env=TIGR_CA_FILE=/etc/ca.pem", f"--volume={simulator.ca_file}:/etc/ca.pem:ro"]
    *options, image = arguments
    return [*options, *LIMITS, "--network=host", *settings, image]


def test_the_command_of_the_service_starts_the_monitor(
    store: Podman, command: list[str], simulator: Simulator, tmp_path: Path
) -> None:
    """The container reports its start, is healthy, scraped and confined, and ends if the monitor hangs."""
    Path(simulator.ca_file).parent.chmod(0o755)
    for environment in simulator.environments.values():
        for name, secret in environment.secrets().items():
            store.podman("secret", "create", name.lower(), "-", typed=secret)
    arguments = in_this_machine(command, simulator, tmp_path / "cid")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(PATIENCE)
        systemd.bind(str(tmp_path / "notify"))
        store.podman(*arguments, variables=[f"NOTIFY_SOCKET={tmp_path}/notify"])
        try:
            received = ""
            while "READY=1" not in received:
                received += systemd.recv(4096).decode() + "\n"
            assert "MAINPID=" in received
            wait_for(lambda: up("prod") and up("uat"), "it is scraped", PATIENCE)
            assert store.podman("healthcheck", "run", NAME).returncode == 0
            status = store.podman("exec", NAME, "cat", "/proc/1/status").stdout
            for line in (r"Uid:\t65532\t65532\t65532\t65532", r"CapEff:\t0+", r"NoNewPrivs:\t1"):
                assert re.search(f"^{line}$", status, re.MULTILINE), status
            assert no_core_dumps(store, NAME)
            assert store.podman("exec", NAME, "touch", "/opt/x", check=False).returncode != 0
            mode = store.podman("exec", NAME, "stat", "-c", "%u %a", "/run/secrets/tigr_environments__prod__password")
            assert mode.stdout == "65532 400\n"
            store.podman("exec", NAME, NAME, "reload")
            output = store.podman("logs", NAME)
            assert not leaks(output.stdout + output.stderr, values(CANARIES))
            store.podman("kill", "--signal=STOP", NAME)
            wait_for(lambda: ended_by_health_check(store), "the container has ended", 3 * PATIENCE)
        finally:
            store.podman("rm", "--force", "--ignore", NAME)
            store.podman("volume", "rm", "--force", NAME)


def ended_by_health_check(store: Podman) -> bool:
    """Run the health check once, as the timer of systemd does; return True if the container is gone."""
    store.podman("healthcheck", "run", NAME, check=False)
    return store.podman("container", "exists", NAME, check=False).returncode != 0
