"""Every documented block for Debian, in the order of the documents, against the simulator: each command succeeds."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.process import get, wait_for
from tests.system.prometheus.stack import Message, Receivers, is_ready
from tests.system.systemd.file_tree import differences, file_tree
from tests.system.systemd.machine import Machine, booted
from tests.system.systemd.readers import (
    READERS,
    Reader,
    change_to_pip,
    name_receivers,
    name_simulator,
    pip_variables,
    prepare,
)
from tests.system.systemd.roots import Roots
from tests.system.transcript import (
    DocumentedBlock,
    Outcome,
    ShellState,
    Transcript,
    documented_blocks,
    documents_with,
)

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(1200),  # one fixture installs, upgrades and operates the service; a busy machine takes long
]

INSTALLATIONS = tuple(READERS)
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
ENTERED = "".join(
    f"tigr_environments__{environment}__{name}={secret}\n"
    for environment in ("prod", "uat")
    for name, secret in dataclasses.asdict(CANARIES).items()
)
# The commands that ask on a terminal, and those that ask nothing, each with its input.
STAND_INS = {
    "tigr-monitor setup\n": ("tigr-monitor setup --stdin\n", ENTERED),
    "tigr-monitor set-secret prod password\n": ("tigr-monitor set-secret prod password --stdin\n", CANARIES.password),
}
LEFT = "find / -xdev -name '*tigr*' -not -name 'antigravity*' -not -path '/root/*'"
TYPED = "".join(f"{secret}\n" for secret in values(CANARIES) * 2)
JOURNAL = "journalctl --quiet --unit=prometheus --unit=prometheus-alertmanager"  # for the reader of a failed test
# The files, in addition to those in the lists of dpkg, of the packages of Debian that stay.
GENERATED = re.compile(
    r"etc/(ca-certificates.conf|inputrc|ld.so.cache|networks|(passwd|shadow|group|gshadow)-?)"
    r"|(etc/ssl/certs|etc/python3|etc/lighttpd/conf-enabled|usr/local/lib/python3.13|var/lib/(dpkg|python))(/.*)?"
    r"|usr/local/share/ca-certificates"
)
# The documentation leaves the data source, and Grafana its directories.
GRAFANA = {"dashboards", "provisioning", "provisioning/dashboards", "provisioning/datasources"}
LEFT_OF_GRAFANA = {"etc/grafana", *(f"etc/grafana/{name}" for name in GRAFANA)}
LEFT_OF_GRAFANA |= {"etc/grafana/provisioning/datasources/prometheus.yml"}
# Seconds. Prometheus loses the alerts of its first five, before it knows Alertmanager, and sends them again after 75:
# in the first evaluation that is more than a minute (--rules.alert.resend-delay) after the last attempt.
PATIENCE = 150.0
MAX_UNTIL_PAGE = 300.0  # seconds: at most 55 on a machine that is not busy


@dataclass
class Walk:
    """The reader of the documents at a machine."""

    machine: Machine
    simulator: Simulator
    receivers: Receivers
    reader: Reader
    state: ShellState
    transcript: Transcript
    outcomes: dict[DocumentedBlock, Outcome] = field(default_factory=dict)
    error: str = ""

    def run(self) -> None:
        """Run every block."""
        document = ""
        try:
            for each in blocks_for(self.reader.mark):
                if each.document != document:
                    self._open(each.document)
                    document = each.document
                self.outcomes[each] = outcome = self._run(each)
                self.transcript.add(f"{each}, in {self.reader.directory(each, self.machine)}", outcome)
                self._after(each)
            seconds = sum(outcome.seconds for outcome in self.outcomes.values())
            self.transcript.add(f"the end; the commands took {seconds:.0f} s")
        except AssertionError as error:  # the tests of the blocks that did not run report it
            self.error = str(error)
            self.transcript.add(f"{error}\n{self._ask(JOURNAL)}")

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
        typed = TYPED if "IFS= read" in text else ""
        if text in STAND_INS:
            text, typed = STAND_INS[text]
            name_simulator(self.machine.root, self.simulator)
            self.transcript.add("the settings name the simulator; the next command reads standard input")
        if "rm -r /opt/tigr-monitor\n" in text:
            change_to_pip(self.machine)
            self.transcript.add("the service is one that was installed with pip")
        if "amtool check-config" in text:
            name_receivers(self.machine.root, self.receivers)
            self.transcript.add("alertmanager.yml names a receiver that records its messages")
            self._wait(lambda: is_ready("http://127.0.0.1:9093/-/ready"), "Alertmanager is ready")
        asked = re.search(r"tigr-monitor (?:status|check)( --socket \S+)?$", text, re.MULTILINE)
        if asked and each.document != RUNBOOK:
            status = f"tigr-monitor status{asked[1] or ''} && echo is-well"
            self._wait(lambda: "is-well" in self._ask(status), "all are well")
        if "~/tigr/secrets" in text:
            self._prepare_by_hand()
            typed = CANARIES.password
        if text.startswith("tigr-monitor run"):
            text = _until_ready(text)
        if "systemctl edit" in text:
            text = f"SYSTEMD_EDITOR=/root/editor script -qefc '{text.strip()}' /dev/null"
        if "alertname=TigrWatchdog" in text:
            wait_for(lambda: "TigrWatchdog" in _alerts(), "Alertmanager has the alert", PATIENCE)
        directory = self.reader.directory(each, self.machine)
        output = self.machine.run(self.state.script(text, directory), typed, check=False)
        if each.block.text.startswith("tigr-monitor run"):
            self.state.export()
            self._ask("systemctl start tigr-monitor")
        return self.state.outcome(output)

    def _after(self, each: DocumentedBlock) -> None:
        """Wait for the page of the rehearsal, with the installation that no other test of the rehearsal has."""
        if self.reader.mark == "package" and "--send rehearsal api" in each.block.text:
            self._wait(lambda: self.pages, "the page arrives", MAX_UNTIL_PAGE)
            self.transcript.add(f"The page: {self.pages[0].summary}")

    @property
    def pages(self) -> list[Message]:
        """Return the pages about the rehearsal."""
        return [each for each in self.receivers.messages if (each.receiver, each.subject) == ("pager", "rehearsal")]

    def _wait(self, condition: Callable[[], object], name: str, timeout: float = PATIENCE) -> None:
        begin = time.monotonic()
        wait_for(condition, name, timeout)
        self.transcript.add(f"{name}: waited {time.monotonic() - begin:.1f} s")

    def _ask(self, script: str) -> str:
        return self.machine.run(script, check=False)

    def _has_incident(self) -> bool:
        return "is-open" in self._ask("tigr-monitor evidence && echo is-open")

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


def blocks_for(mark: str) -> list[DocumentedBlock]:
    """Return the blocks for an installation and for Prometheus, in the order of the documents."""
    return documented_blocks(ORDER, mark, "prometheus", untested=STAND_INS)


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
def walk(request: pytest.FixtureRequest, roots: Roots, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Yield the reader after the last block; at the end, no output contains a secret."""
    reader, home = READERS[request.param], Path("/root")
    log = tmp_path_factory.mktemp(reader.mark) / "log"
    package = request.getfixturevalue("packages")["trixie"] if reader.mark == "package" else None
    a_root = roots.bare if package else roots.documented
    with a_root("trixie") as root, simulator_with_canaries() as simulator, Receivers() as receivers:
        prepare(root, simulator, package)
        with booted(root, log) as machine:
            machine.files = file_tree(root)
            machine.variables = pip_variables()
            transcript = Transcript()
            walk = Walk(machine, simulator, receivers, reader, ShellState(root / "root", home), transcript)
            walk.run()
            yield walk
            assert not leaks(str(transcript), values(CANARIES))
            transcript.write(reader.mark)


def test_the_order_has_every_document_with_such_blocks() -> None:
    """A document that gets a block for these installations is added to the order."""
    assert documents_with(*INSTALLATIONS, "prometheus") == set(ORDER)


def test_every_documented_command_succeeds(walk: Walk) -> None:
    """Only the commands that report the failure of the runbook have another status."""
    unexpected = [
        f"{each} {outcome}" for each, outcome in walk.outcomes.items() if outcome.failures != _expected_failures(each)
    ]
    assert [*unexpected, walk.error] == [""], "\n".join([*unexpected, walk.error])
    assert len(walk.outcomes) == len(blocks_for(walk.reader.mark))


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


@pytest.mark.parametrize("walk", ["package"], indirect=True, scope="module")
def test_every_other_file_is_as_before_the_installation(walk: Walk) -> None:
    """Only the packages of Debian that apt installed, and the data source of Grafana, are left on the bare Debian."""
    left = differences(walk.machine.files, file_tree(walk.machine.root))
    installed = walk.machine.run("dpkg-query --show --showformat='${Package} '")
    left -= {path[1:] for path in walk.machine.run(f"dpkg-query --listfiles {installed}").splitlines()}
    assert {path for path in left if not GENERATED.fullmatch(path)} == LEFT_OF_GRAFANA
    assert not {"tigr-monitor", "prometheus", "prometheus-alertmanager"} & set(installed.split())
