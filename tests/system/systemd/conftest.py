"""Fixtures: two booted Debians with the installed service, and the service with a simulator."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.checkout import copy_to
from tests.system.ports import reserved_ports
from tests.system.systemd.file_tree import file_tree
from tests.system.systemd.installed import SUITES, Service, block
from tests.system.systemd.machine import Machine, booted
from tests.system.systemd.readers import pip_variables
from tests.system.systemd.roots import Roots

STORES = "/etc/tigr-monitor/credentials /etc/tigr-monitor/encrypted /etc/tigr-monitor/secrets"


@pytest.fixture(scope="package", autouse=True)
def ports() -> Iterator[None]:
    """Reserve the ports that the documented commands use."""
    with reserved_ports():
        yield


@pytest.fixture(scope="package", params=SUITES)
def machine(
    request: pytest.FixtureRequest, roots: Roots, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Yield a minimal Debian with the clone in the home of root, and the monitor installed from it."""
    log = tmp_path_factory.mktemp(request.param) / "log"
    with roots.documented(request.param) as root:
        copy_to(root / "root/tigr-monitor")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "root/registry.pem")
        with booted(root, log) as running:
            running.variables = pip_variables()
            running.files = file_tree(root)
            running.run(f"cd /root/tigr-monitor\n{block('python3 -m venv')}")
            running.run("cp /root/tigr-monitor/systemd/tigr-monitor.toml /root/shipped.toml")
            yield running


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Yield the stopped service with its secrets; at the end, check that the journal contains none of them."""
    machine.run("journalctl --quiet --rotate; journalctl --quiet --vacuum-time=1ms")
    machine.run(f"rm -rf {STORES}; install -d -m 700 /etc/tigr-monitor/credentials")
    with simulator_with_canaries() as simulator:
        service = Service(machine, simulator)
        shutil.copy(simulator.ca_file, machine.root / "etc/tigr-monitor/ca.pem")
        service.write_settings()
        service.enter_secrets()
        yield service
        machine.run(
            "set +e\n"  # the service may be removed or not loaded, and only some tests create the group
            "systemctl disable --now tigr-monitor; systemctl reset-failed tigr-monitor\n"
            "systemctl clean --what=state tigr-monitor\n"
            f"rm -rf /etc/systemd/system/tigr-.service.d {STORES}; systemctl daemon-reload\n"
            "groupdel tigr-secrets",
            check=False,
        )
        journal = machine.run("journalctl --quiet --all --output=export")
    assert not leaks(journal, values(CANARIES))
    assert "eyJ" not in journal
