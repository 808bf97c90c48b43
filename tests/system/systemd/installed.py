"""The service as the documented commands install it, with a simulator that it monitors."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.simulator import Simulator
from tests.support import documents
from tests.support.canaries import CANARIES, values
from tests.support.harness import value
from tests.support.process import get, wait_for
from tests.system.systemd.machine import Machine

SUITES = {"trixie": 257, "bookworm": 252}  # Debian 13 and 12, and their systemd
INSTALLATION = documents.section("docs/install.md", "On Debian or Ubuntu, with systemd")
BLOCKS = documents.blocks(INSTALLATION + documents.text("docs/operations.md"))
PORT = 9844
PATIENCE = 60.0  # seconds
PROD_PING = {"environment": "prod", "endpoint": "ping"}


def block(text: str) -> str:
    """Return the only block of commands that contains a text."""
    (commands,) = [block for block in BLOCKS if text in block]
    return commands


@dataclass
class Service:
    """The installed service and the simulator that it monitors."""

    machine: Machine
    simulator: Simulator

    def write_settings(self, **more: str) -> None:
        """Write the shipped settings plus the URLs of the simulator."""
        lines = [f'{name} = "{text}"' for name, text in ({"ca_file": "/etc/tigr-monitor/ca.pem"} | more).items()]
        for name, environment in self.simulator.environments.items():
            lines += [f"[environments.{name}]", f'token_url = "{environment.token_url}"']
            lines += [f'api_url = "{environment.api_url}"']
        shipped = self.machine.root.joinpath("root/shipped.toml").read_text()
        self.machine.root.joinpath("etc/tigr-monitor/tigr-monitor.toml").write_text(shipped + "\n".join(lines) + "\n")

    def enter_secrets(self, *, password: str = CANARIES.password) -> None:
        """Type the secrets into the documented command."""
        secrets = [*values(CANARIES)[:3], password, *values(CANARIES)]
        self.machine.run(block("IFS= read"), "".join(f"{secret}\n" for secret in secrets))

    def start(self) -> None:
        """Start the service and wait for a successful ping."""
        self.machine.run("systemctl start tigr-monitor")
        self.wait_for(1, "tigr_up", **PROD_PING)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of a series; None if there is none."""
        try:
            return value(get(PORT, "/metrics")[1], name, **labels)
        except OSError:
            return None

    def wait_for(self, wanted: float, name: str, **labels: str) -> None:
        """Scrape until a series has that value."""
        wait_for(lambda: self.value(name, **labels) == wanted, f"{name}{labels} is {wanted}", PATIENCE)

    def wait_for_journal(self, text: str) -> None:
        """Wait until the journal contains a text."""
        wait_for(lambda: text in self.machine.journal(), f"the journal contains {text!r}", PATIENCE)

    def wait_for_restart(self, count: int) -> None:
        """Wait until the service runs after this number of restarts by systemd."""
        wait_for(
            lambda: (
                (self.machine.property("NRestarts"), self.machine.property("ActiveState")) == (str(count), "active")
            ),
            f"restart {count}",
            PATIENCE,
        )
