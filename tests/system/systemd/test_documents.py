"""Every documented block for Debian, in the order of the documents, against the simulator: each command succeeds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support import documents
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.checkout import ROOT, copy_to
from tests.support.process import get, wait_for
from tests.system.systemd.machine import Machine, booted, install
from tests.system.transcript import DocumentedBlock, Outcome, ShellState, documented_blocks, documents_with

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(1200),  # one fixture installs, upgrades and operates the service; a busy machine takes long
]

# With the package, add "package": its blocks need dist/*.deb from `make deb`, which the clone gets.
INSTALLATIONS = ("pip",)
# The order in which a reader needs them; the last one ends with the uninstallation.
ORDER = (
    "README.md",
    "docs/install.md",
    "docs/configuration.md",
    "docs/alerting.md",
    "grafana/README.md",
    "prometheus/RUNBOOK.md",
    "docs/operations.md",
)
RUNBOOK = "prometheus/RUNBOOK.md"
# The runbook is for a failure, which these commands report with their status.
EXPECTED = {
    (RUNBOOK, "tigr-monitor status"): 1,
    (RUNBOOK, "tigr-monitor check"): 1,
    (RUNBOOK, "systemctl start tigr-monitor-check"): 1,
}
INSTALLATION = documents.section("docs/install.md", "On Debian or Ubuntu, with systemd")
SECRETS = "".join(f"{secret}\n" for secret in values(CANARIES) * 2)
EDITOR = '#!/bin/sh\nfor file; do :; done  # the last argument\nsed -i "3i [Service]\\nNice=1" "$file"\n'
LEFT = "find / -xdev -name '*tigr*' -not -name 'antigravity*' -not -path '/root/*'"
REPLIES = {"IFS= read": SECRETS, "apt-get purge": "y\n"}  # to the questions of blocks that contain a text
PATIENCE = 60.0  # seconds
# Prometheus loses the alerts of its first five seconds, before it knows Alertmanager, and sends them again 75 s later:
# in the first evaluation that is more than a minute (--rules.alert.resend-delay) after the last attempt.
PATIENCE_FOR_ALERTS = 120.0  # seconds


@dataclass
class Walk:
    """The reader of the documents at a machine."""

    machine: Machine
    simulator: Simulator
    installation: str
    state: ShellState
    transcript: Path  # every block with its failed commands and its output, for the reader of a failed test
    outcomes: dict[DocumentedBlock, Outcome] = field(default_factory=dict)
    error: str = ""

    def run(self) -> None:
        """Run every block."""
        document = ""
        try:
            for each in documented_blocks(ORDER, self.installation, "prometheus"):
                if each.document != document:
                    self._open(each.document)
                    document = each.document
                self.outcomes[each] = outcome = self._run(each)
                with self.transcript.open("a") as transcript:
                    transcript.write(f"=== {each} {outcome}\n")
        except AssertionError as error:  # the tests of the blocks that did not run report it
            self.error = str(error)

    def _open(self, document: str) -> None:
        """Begin a document: a reader of the runbook has a failure."""
        self.state.export()
        ping_faults = self.simulator.environment("prod").api_faults
        if document == RUNBOOK:
            ping_faults.set(Status(503))
            wait_for(self._has_incident, "an incident is open", PATIENCE)
        else:
            ping_faults.clear()

    def _run(self, each: DocumentedBlock) -> Outcome:
        text = each.block.text
        typed = "".join(reply for part, reply in REPLIES.items() if part in text)
        if "systemctl start tigr-monitor-check" in text and not self._has_secrets():
            self._enter_secrets()
        asked = re.search(r"tigr-monitor (?:status|check)( --socket \S+)?$", text, re.MULTILINE)
        if asked and each.document != RUNBOOK:
            status = f"tigr-monitor status{asked[1] or ''} && echo is-well"
            wait_for(lambda: "is-well" in self._ask(status), "all are well", PATIENCE)
        if "~/tigr/secrets" in text:
            self._prepare_by_hand()
            typed = CANARIES.password
        if text.startswith("tigr-monitor run"):
            text = _until_ready(text)
        if "systemctl edit" in text:
            text = f"SYSTEMD_EDITOR=/root/editor script -qefc '{text.strip()}' /dev/null"
        if "alertname=TigrWatchdog" in text:
            wait_for(lambda: "TigrWatchdog" in _alerts(), "Alertmanager has the alert", PATIENCE_FOR_ALERTS)
        output = self.machine.run(self.state.script(text, "/root/tigr-monitor"), typed, check=False)
        if each.block.text.startswith("tigr-monitor run"):
            self.state.export()
            self._ask("systemctl start tigr-monitor")
        return self.state.outcome(output)

    def _ask(self, script: str) -> str:
        return self.machine.run(script, check=False)

    def _has_incident(self) -> bool:
        return "is-open" in self._ask("tigr-monitor evidence && echo is-open")

    def _has_secrets(self) -> bool:
        return any((self.machine.root / "etc/tigr-monitor").glob("*/*password"))

    def _enter_secrets(self) -> None:
        """Do what the link before a command leads to."""
        (block,) = (block for block in documents.blocks(INSTALLATION) if "IFS= read" in block)
        self.machine.run(block, SECRETS)

    def _prepare_by_hand(self) -> None:
        """Stop the service, write the secrets for which a command is repeated, and name the simulator in variables."""
        self._ask("systemctl stop tigr-monitor")
        folder = self.machine.root / "root/tigr/secrets"
        folder.mkdir(mode=0o700, parents=True)
        exports = ["export TIGR_CA_FILE=/etc/tigr-ca.pem TIGR_PING_INTERVAL=2s"]
        for environment in self.simulator.environments.values():
            exports += [f"export {name}={url}" for name, url in environment.urls().items()]
            for name, secret in environment.secrets().items():
                (folder / name.lower()).write_text(secret)
        self.state.export(*exports)


def _alerts() -> str:
    """Return the alerts of Alertmanager; an empty text if it does not respond."""
    try:
        return get(9093, "/api/v2/alerts")[1]
    except OSError:
        return ""


def _until_ready(command: str) -> str:
    """Return a script that runs a command until the monitor is ready, and then interrupts it."""
    retry = "--retry 60 --retry-delay 1 --retry-connrefused --fail --no-progress-meter --output /dev/null"
    return f"{command.partition('#')[0]} &\ncurl {retry} http://127.0.0.1:9844/-/ready\nkill $!\nwait $!\n"


@pytest.fixture(scope="module", params=INSTALLATIONS)
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Yield the reader after the last block; at the end, no output contains a secret."""
    directory = tmp_path_factory.mktemp(request.param)
    root, packages = directory / "root", re.findall(r"apt-get install --\S+ (.+)", INSTALLATION)
    install("trixie", " ".join(packages).split(), root)
    with simulator_with_canaries() as simulator:
        _prepare(root, simulator)
        with booted(root, directory / "log") as machine:
            pip_settings = [f"{name}={text}" for name, text in os.environ.items() if name.startswith("PIP_")]
            machine.variables = [
                *(each for each in pip_settings if "PIP_CERT" not in each),
                "PIP_CERT=/root/registry.pem",
            ]
            walk = Walk(
                machine, simulator, request.param, ShellState(root / "root", Path("/root")), directory / "transcript"
            )
            walk.run()
            yield walk
            assert not leaks(walk.transcript.read_text(), values(CANARIES))
    shutil.rmtree(root)


def _prepare(root: Path, simulator: Simulator) -> None:
    """Put the clone into the home of root, with the simulator in its settings instead of TIGR."""
    clone = root / "root/tigr-monitor"
    copy_to(clone)
    for package in ROOT.glob("dist/*.deb"):
        shutil.copy(package, clone / "dist")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "root/registry.pem")
    shutil.copy(simulator.ca_file, root / "etc/tigr-ca.pem")
    editor = root / "root/editor"
    editor.write_text(EDITOR)
    editor.chmod(0o755)
    lines = ['ca_file = "/etc/tigr-ca.pem"', 'ping_interval = "2s"']
    for name, environment in simulator.environments.items():
        lines += [f"[environments.{name}]", f'token_url = "{environment.token_url}"']
        lines += [f'api_url = "{environment.api_url}"']
    settings = clone / "systemd/tigr-monitor.toml"
    settings.write_text(settings.read_text() + "\n".join(lines) + "\n")


def test_the_order_has_every_document_with_such_blocks() -> None:
    """A document that gets a block for these installations is added to the order."""
    assert documents_with(*INSTALLATIONS, "prometheus") == set(ORDER)


def test_every_documented_command_succeeds(walk: Walk) -> None:
    """Only the commands that report the failure of the runbook have another status."""
    unexpected = [
        f"{each} {outcome}" for each, outcome in walk.outcomes.items() if outcome.failures != _expected_failures(each)
    ]
    assert [*unexpected, walk.error] == [""], "\n".join([*unexpected, walk.error])
    assert len(walk.outcomes) == len(documented_blocks(ORDER, walk.installation, "prometheus"))


def _expected_failures(each: DocumentedBlock) -> dict[str, int]:
    return {
        command: status
        for (document, command), status in EXPECTED.items()
        if document == each.document and command in each.block.text.splitlines()
    }


def test_nothing_is_left_after_the_uninstallation(walk: Walk) -> None:
    """The last block removes every file, unit, user and group, except the simulator's CA of this test."""
    left = walk.machine.run(LEFT).split()
    assert left == ["/etc/tigr-ca.pem"], left
    assert walk.machine.run("systemctl list-units --all --no-legend 'tigr*'") == ""
    assert "tigr" not in walk.machine.run("cat /etc/passwd /etc/group")
