"""A package in a booted Debian: upgrade, settings, removal, purge; the tests are the steps, in their order."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor import __version__
from monitor.simulator import Simulator
from tests.support import documents
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.checkout import ROOT
from tests.support.harness import value
from tests.support.process import free_port, get, wait_for
from tests.system.package.packages import CONFFILE, NEWER, newer
from tests.system.systemd.machine import Machine, booted
from tests.system.systemd.roots import Roots

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "dpkg-deb", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(900),
]

# For what both releases have in common, because an installation takes seconds. The fixture begins with trixie.
only_debian_13 = pytest.mark.parametrize("service", ["trixie"], indirect=True)
UNITS = "/etc/systemd/system"
CREDENTIALS = "/etc/tigr-monitor/credentials"
_FENCED = re.compile(r"^```sh package\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def only_block(markdown: str) -> str:
    """Return the only block of commands for the package alone."""
    (commands,) = _FENCED.findall(markdown)
    return str(commands)


INSTALLATION = only_block(documents.section("README.md", "Install"))
UPGRADE, UPGRADE_OF_DEBIAN = map(only_block, documents.section("docs/operations.md", "Upgrade").split("\n### "))
UNINSTALLATION = only_block(documents.section("docs/operations.md", "Uninstall"))


@dataclass
class Service:
    """A bare Debian with two versions of the package, and the simulator that the service monitors."""

    machine: Machine
    simulator: Simulator
    port: int  # the machine shares the network with this one, on which another monitor may run

    def run(self, script: str, *, check: bool = True) -> str:
        """Run a script in the directory of the packages; return its output."""
        return self.machine.run(f"cd /root/packages\n{script}", check=check)

    def pid(self) -> str:
        """Return the process of the service; 0 if it does not run."""
        return self.machine.property("MainPID")

    def state(self) -> tuple[str, str]:
        """Return whether the service is enabled, and whether it is active."""
        return self.machine.property("UnitFileState"), self.machine.property("ActiveState")

    def wait_until_up(self) -> None:
        """Wait until pings of both environments succeed."""
        for environment in ("prod", "uat"):
            wait_for(lambda name=environment: self._up(name), f"{environment} is up")  # type: ignore[misc]

    def _up(self, environment: str) -> bool:
        try:
            return value(get(self.port, "/metrics")[1], "tigr_up", environment=environment, endpoint="ping") == 1
        except OSError:
            return False


@pytest.fixture(scope="module", params=("trixie", "bookworm"))
def service(
    request: pytest.FixtureRequest, roots: Roots, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Yield a bare Debian in which the package was installed; at the end, its journal contains no secret."""
    directory = tmp_path_factory.mktemp(request.param)
    with roots.bare(request.param) as root:
        root.joinpath("etc/apt/apt.conf.d/test").write_text('APT::Get::Assume-Yes "true";\n')
        for folder in ("packages", "newer"):
            (root / "root" / folder).mkdir()
        shutil.copy(packages[request.param], root / "root/packages")
        shutil.move(newer(packages[request.param], directory), root / "root/newer")
        with booted(root, directory / "log") as machine, simulator_with_canaries() as simulator:
            service = Service(machine, simulator, free_port())
            service.run(INSTALLATION)
            yield service
            journal = machine.run("journalctl --quiet --all --output=export")
    assert not leaks(journal, values(CANARIES))


def test_installing_starts_nothing(service: Service) -> None:
    """After the installation, the program has its name, and the service is neither enabled nor started."""
    assert service.run("command -v tigr-monitor; tigr-monitor --version") == (
        f"/usr/bin/tigr-monitor\ntigr-monitor {__version__}\n"
    )
    assert service.state() == ("disabled", "inactive")
    assert service.run(f"stat --format='%U %a' {CREDENTIALS}; ls {CREDENTIALS}") == "root 700\n"
    assert service.run("dpkg --verify tigr-monitor") == ""


def test_systemd_accepts_the_units(service: Service) -> None:
    """`systemd-analyze verify` reports nothing except, before version 254, two unknown settings."""
    output = service.run("systemd-analyze verify tigr-monitor.service tigr-monitor-check.service")
    assert [line for line in output.splitlines() if not re.search(r"Restart(Steps|MaxDelaySec)", line)] == []


def test_the_program_is_compiled(service: Service) -> None:
    """Every module is compiled, because the service cannot write, and a start without that takes a second longer."""
    libraries = service.run("echo /usr/lib/tigr-monitor/lib/python3.*/site-packages/monitor").strip()
    modules = service.run(f"find {libraries} -name '*.py' | wc -l")
    assert service.run(f"find {libraries} -name '*.pyc' | wc -l") == modules


@only_debian_13
def test_bash_completes_the_commands(service: Service) -> None:
    """The completion offers the commands that begin with the typed letters."""
    script = """
        . /usr/share/bash-completion/completions/tigr-monitor
        COMP_WORDS=(tigr-monitor inc) COMP_CWORD=1
        $(complete -p tigr-monitor | sed 's/.*-F \\([^ ]*\\).*/\\1/') tigr-monitor inc tigr-monitor
        echo "${COMPREPLY[*]}"
    """
    assert service.run(script).strip() == "incidents"


def test_setup_starts_the_service(service: Service) -> None:
    """The service with the changed configuration file and its secrets is enabled and up, in both releases."""
    lines = [f'listen = "127.0.0.1:{service.port}"', 'ca_file = "/etc/tigr-monitor/ca.pem"', 'ping_interval = "2s"']
    for name, environment in service.simulator.environments.items():
        lines += [f"[environments.{name}]", f'token_url = "{environment.token_url}"']
        lines += [f'api_url = "{environment.api_url}"']
    shutil.copy(service.simulator.ca_file, service.machine.root / "etc/tigr-monitor/ca.pem")
    with service.machine.root.joinpath(CONFFILE).open("a") as file:
        file.write("\n".join(lines) + "\n")
    secrets = [
        each for environment in service.simulator.environments.values() for each in environment.secrets().items()
    ]
    entered = "".join(f"{name.lower()}={secret}\n" for name, secret in secrets)
    assert not leaks(service.machine.run("tigr-monitor setup --stdin", entered), values(CANARIES))
    assert service.state() == ("enabled", "active")
    service.wait_until_up()


def test_an_upgrade_keeps_the_configuration_and_restarts_the_service(service: Service) -> None:
    """The documented upgrade asks nothing, keeps the changed configuration file, and the new program runs."""
    before, settings = service.pid(), service.machine.root.joinpath(CONFFILE).read_text()
    service.run("rm *.deb; cp ../newer/*.deb .")
    service.run(UPGRADE)
    assert service.run("dpkg-query --show --showformat='${Version}' tigr-monitor").startswith(f"{NEWER}+deb")
    assert service.machine.root.joinpath(CONFFILE).read_text() == settings
    assert "# A line of the newer version." in service.machine.root.joinpath(f"{CONFFILE}.dpkg-dist").read_text()
    assert service.state() == ("enabled", "active")
    assert service.pid() not in {"0", before}
    service.wait_until_up()


@only_debian_13
def test_an_upgrade_starts_no_stopped_service(service: Service) -> None:
    """A service that an operator stopped stays stopped."""
    service.run("systemctl stop tigr-monitor; dpkg --force-confold --install *.deb")
    assert service.state() == ("enabled", "inactive")


def install_files_of_pip(service: Service) -> str:
    """Install the units and links of the installation with pip, start its service, and return its process."""
    for name in ("tigr-monitor.service", "tigr-monitor-check.service"):
        shutil.copy(ROOT / "systemd" / name, service.machine.root / UNITS[1:])
    service.run(
        "install -d /opt/tigr-monitor/bin; ln -s /usr/bin/tigr-monitor -t /opt/tigr-monitor/bin\n"
        "ln -s /opt/tigr-monitor/bin/tigr-monitor -t /usr/local/bin\n"
        "systemctl daemon-reload; systemctl reenable tigr-monitor; systemctl restart tigr-monitor"
    )
    assert service.machine.property("FragmentPath") == f"{UNITS}/tigr-monitor.service"
    return service.pid()


def assert_that_the_package_is_in_use(service: Service, before: str) -> None:
    """Assert that units and program are those of the package, and that the enabled service was restarted."""
    for name in ("tigr-monitor", "tigr-monitor-check"):
        assert (
            service.machine.property("FragmentPath", name).removeprefix("/usr") == f"/lib/systemd/system/{name}.service"
        )
    assert service.run("command -v tigr-monitor") == "/usr/bin/tigr-monitor\n"
    assert service.state() == ("enabled", "active")
    assert service.pid() not in {"0", before}


@only_debian_13
def test_units_of_the_installation_with_pip_are_reported(service: Service) -> None:
    """An upgrade reports units that systemd prefers, leaves their service alone, and names the command that works."""
    before = install_files_of_pip(service)
    output = service.run("dpkg --force-confold --install *.deb")
    assert service.pid() == before
    units = f"{UNITS}/tigr-monitor.service {UNITS}/tigr-monitor-check.service"
    assert f"instead of those of this package: {units}\n" in output
    (command,) = re.findall(r"^    (rm .+)$", output, re.MULTILINE)
    service.run(f"{command}; rm -r /opt/tigr-monitor")
    assert_that_the_package_is_in_use(service, before)


def test_a_removal_stops_the_service_and_keeps_its_data(service: Service) -> None:
    """After the removal, settings, secrets and state are there, and the program is not."""
    service.wait_until_up()
    service.run("apt-get remove tigr-monitor")
    assert service.machine.property("ActiveState") == "inactive"
    assert service.run("ls /usr/bin/tigr-monitor /usr/lib/tigr-monitor 2>/dev/null", check=False) == ""
    service.run(f"test -s /{CONFFILE}; test -s {CREDENTIALS}/tigr_environments__prod__password")
    service.run("test -s /var/lib/private/tigr-monitor/state.json")


def test_after_an_upgrade_of_debian_the_service_runs_as_before(service: Service) -> None:
    """An upgrade of Debian removes the package; the documented commands install the other one and start the service."""
    installing, starting = UPGRADE_OF_DEBIAN.split("systemctl start")
    service.run(installing)
    assert service.state() == ("enabled", "inactive")
    service.run(f"systemctl start{starting}")
    service.wait_until_up()


def test_a_purge_leaves_no_files(service: Service) -> None:
    """The documented command removes program, settings, secrets, state and units."""
    service.run(f"groupadd --system tigr-secrets; install -D /dev/null {UNITS}/tigr-monitor.service.d/override.conf")
    service.run(UNINSTALLATION)
    left = service.run("find / -xdev -name 'tigr*' -not -path '/root/*' -not -path '/proc/*' -not -path '/sys/*'")
    assert left == ""
    assert service.run("getent group tigr-secrets", check=False) == ""
    assert service.run("systemctl list-units --all --no-legend 'tigr*'") == ""


def test_the_package_can_be_installed_again(service: Service) -> None:
    """After a purge, an installation is like the first one."""
    service.run(INSTALLATION)
    assert service.state() == ("disabled", "inactive")
    assert service.run(f"ls {CREDENTIALS}") == ""
