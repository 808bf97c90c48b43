"""The readers of the documents, one for each installation: their machines, and the steps that no block contains."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from monitor.simulator import Simulator
from tests.support.checkout import ROOT, copy_to
from tests.system.prometheus import rulefiles
from tests.system.prometheus.stack import Receivers
from tests.system.systemd.machine import Machine
from tests.system.transcript import DocumentedBlock

CA_FILE = "etc/tigr-ca.pem"
EDITOR = '#!/bin/sh\nfor file; do :; done  # the last argument\nsed -i "3i [Service]\\nNice=1" "$file"\n'
SETTINGS = "etc/tigr-monitor/tigr-monitor.toml"
# An installation with pip, made of the files of the package, whose place it takes.
_PIP = """
cp --recursive /usr/lib/tigr-monitor /opt
sed -i '1s|/usr/lib/|/opt/|' /opt/tigr-monitor/bin/tigr-monitor
ln -s /opt/tigr-monitor/bin/tigr-monitor -t /usr/local/bin
systemctl stop tigr-monitor
apt-get remove --quiet --quiet --yes tigr-monitor
systemctl daemon-reload
systemctl enable --now tigr-monitor
"""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader who chose one installation: the mark of the blocks, and the directories in which they are run."""

    mark: str
    folder: str
    files: str  # with the files of a clone that the blocks for Prometheus read

    def directory(self, each: DocumentedBlock, machine: Machine) -> str:
        """Return the directory for a block; after the uninstallation, that with the files may be missing."""
        reads_files = "prometheus" in each.block.installations and machine.root.joinpath(self.files[1:]).exists()
        return self.files if reads_files else self.folder


READERS = {
    "package": Reader("package", "/root/packages", "/usr/share/tigr-monitor"),
    "pip": Reader("pip", "/root/tigr-monitor", "/root/tigr-monitor"),
}


def prepare(root: Path, simulator: Simulator, package: Path | None) -> None:
    """Put the package or the clone into the home of root, next to an editor and the certificates."""
    if package:
        root.joinpath("root/packages").mkdir()
        shutil.copy(package, root / "root/packages")
    else:
        copy_to(root / "root/tigr-monitor")
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "root/registry.pem")
    # apt reads all of its input for the first of its questions, and the next command gets no reply.
    root.joinpath("etc/apt/apt.conf.d/reply").write_text('APT::Get::Assume-Yes "true";\n')
    shutil.copy(simulator.ca_file, root / CA_FILE)
    editor = root / "root/editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)


def pip_variables() -> list[str]:
    """Return the registry settings of this machine, which the documented commands do not contain."""
    settings = [f"{name}={text}" for name, text in os.environ.items() if name.startswith("PIP_") and name != "PIP_CERT"]
    return [*settings, "PIP_CERT=/root/registry.pem"]


def name_simulator(root: Path, simulator: Simulator) -> None:
    """Add the simulator to the installed settings, instead of TIGR."""
    file = root / SETTINGS
    lines = [f'ca_file = "/{CA_FILE}"', 'ping_interval = "2s"']
    for name, environment in simulator.environments.items():
        lines += [f"[environments.{name}]", f'token_url = "{environment.token_url}"']
        lines += [f'api_url = "{environment.api_url}"']
    if lines[0] not in file.read_text():
        file.write_text(file.read_text() + "\n".join(lines) + "\n")


def name_receivers(root: Path, receivers: Receivers) -> None:
    """Write receivers that record the messages into the configuration of Alertmanager; its routes stay as they are."""
    file = root / "etc/prometheus/alertmanager.yml"
    config = rulefiles.load(file)
    config["receivers"] = [
        {"name": receiver["name"], "webhook_configs": [{"url": receivers.url}]} for receiver in config["receivers"]
    ]
    file.write_text(yaml.safe_dump(config, sort_keys=False))


def change_to_pip(machine: Machine) -> None:
    """Replace the package by an installation with pip that keeps settings, secrets and state, and start its service."""
    for name in ("tigr-monitor.service", "tigr-monitor-check.service"):
        shutil.copy(ROOT / "systemd" / name, machine.root / "etc/systemd/system")
    machine.run(_PIP)
    assert machine.run("command -v tigr-monitor").strip() == "/usr/local/bin/tigr-monitor"
