"""The documented commands for Prometheus and Alertmanager, and the rehearsal of an alert with the installed service."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from monitor.simulator.faults import Status
from tests.support import documents
from tests.support.canaries import CANARIES, leaks, values
from tests.support.process import get, wait_for
from tests.system.prometheus.server import PrometheusServer
from tests.system.prometheus.stack import Receivers, faster_routes, faster_rules
from tests.system.systemd.installed import PATIENCE, PROD_PING, Service, block
from tests.system.systemd.machine import Machine

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(900),  # the first test installs the service, and may wait for its ports
]

PROGRAMS = ("prometheus", "prometheus-alertmanager")
INSTALL = block("apt-get install --no-install-recommends prometheus ")
REHEARSAL = documents.blocks(documents.section("docs/operations.md", "Rehearse"))
FACTOR = 20.0  # of the durations in rules and routes
# So that a failure takes seconds. The name of the file makes systemd read it after the documented one.
FASTER = """
install -d /run/systemd/system/rehearsal-monitor.service.d
cat > /run/systemd/system/rehearsal-monitor.service.d/test.conf <<'END'
[Service]
Environment=TIGR_PING_INTERVAL=2s TIGR_AUTH_INTERVAL=6s TIGR_CONFIRM_INTERVAL=1s TIGR_TIMEOUT=1s TIGR_RENEW_MARGIN=1s
END
"""


# `PrivateNetwork=` has no effect in a container of systemd-nspawn with systemd 257.
LOOPBACK_ONLY = """
[Service]
ExecStart=
ExecStart=+/usr/bin/unshare --net sh -c 'ip link set lo up; exec prometheus-alertmanager "$$@"' sh \\
    --storage.path=/run/loopback-only $ARGS
"""


@pytest.fixture
def alerting(service: Service) -> Iterator[PrometheusServer]:
    """Yield the Prometheus that the documented commands install, next to the running service."""
    service.write_settings(ping_interval="2s")
    service.start()
    service.machine.run(f"cd /root/tigr-monitor\n{INSTALL}")
    prometheus = PrometheusServer("http://127.0.0.1:9090")
    wait_for(prometheus.ready, "Prometheus is ready", PATIENCE)
    wait_for(lambda: prometheus.now('up{job="tigr-monitor"} == 1'), "Prometheus scrapes the service", PATIENCE)
    yield prometheus
    # The series of this test would be valid for five minutes, and those of the next one have other hosts.
    service.machine.run(f"systemctl stop {' '.join(PROGRAMS)}; rm -rf /var/lib/prometheus/*/*")


def listening(machine: Machine, program: str) -> set[str]:
    """Return the addresses and ports at which a program listens, TCP and UDP."""
    pid = machine.property("MainPID", program)
    sockets = machine.run("ss --listening --numeric --tcp --udp --processes --no-header").splitlines()
    return {line.split()[4] for line in sockets if f"pid={pid}," in line}


def test_only_this_machine_reaches_prometheus_and_alertmanager(service: Service, alerting: PrometheusServer) -> None:
    """Both listen on loopback only, and a fault becomes an alert in Alertmanager."""
    wait_for(lambda: listening(service.machine, "prometheus-alertmanager"), "Alertmanager listens", PATIENCE)
    addresses = {program: listening(service.machine, program) for program in PROGRAMS}
    assert addresses == {"prometheus": {"127.0.0.1:9090"}, "prometheus-alertmanager": {"127.0.0.1:9093"}}
    pid = service.machine.property("MainPID", "prometheus")
    assert "--storage.tsdb.retention.time=35d" in service.machine.run(f"cat /proc/{pid}/cmdline")
    service.simulator.environment("prod").api_faults.set(Status(403))
    wait_for(lambda: "TigrForbidden" in get(9093, "/api/v2/alerts")[1], "Alertmanager receives the alert", PATIENCE)


def test_alertmanager_starts_without_a_private_address(machine: Machine) -> None:
    """The commands start it where it fails with Debian's arguments: on a machine with loopback addresses only."""
    unit = "prometheus-alertmanager"
    machine.run(
        f"systemctl stop {' '.join(PROGRAMS)}\n"
        f"install -d /run/systemd/system/{unit}.service.d\n"
        f"cat > /run/systemd/system/{unit}.service.d/test.conf <<'END'\n{LOOPBACK_ONLY}END\n"
        "systemctl daemon-reload\n"
        f"sed -i /cluster.listen-address/d /etc/default/{unit}\n"
        f"systemctl start {unit}"
    )
    try:
        wait_for(lambda: "unable to initialize gossip mesh" in machine.journal(unit), "it cannot start", PATIENCE)
        machine.run(f"cd /root/tigr-monitor\n{INSTALL}")
        enter = f"nsenter --net --target=$(systemctl show --value --property=MainPID {unit})"
        wait_for(
            lambda: "127.0.0.1:9093" in machine.run(f"{enter} ss --listening --numeric --tcp", check=False),
            "it listens",
            PATIENCE,
        )
    finally:
        machine.run(
            f"systemctl stop {' '.join(PROGRAMS)}\nrm -r /run/systemd/system/{unit}.service.d\nsystemctl daemon-reload"
        )


@pytest.fixture
def receivers(service: Service, alerting: PrometheusServer) -> Iterator[Receivers]:
    """Yield the receivers in the configuration of Alertmanager; rules, routes and scrapes are faster by a factor."""
    folder = service.machine.root / "etc/prometheus"
    shipped = {path: path.read_text() for path in (*folder.glob("rules/*.yml"), folder / "prometheus.yml")}
    with Receivers() as running:
        for path in folder.glob("rules/*.yml"):
            path.unlink()
        (folder / "rules/faster.yml").write_text(yaml.safe_dump(faster_rules(FACTOR), sort_keys=False))
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(faster_routes(running.url, FACTOR), sort_keys=False))
        faster = re.sub(r": [45]s$", ": 1s", shipped[folder / "prometheus.yml"], flags=re.MULTILINE)
        (folder / "prometheus.yml").write_text(faster)
        service.machine.run(f"systemctl restart {' '.join(PROGRAMS)}")
        wait_for(alerting.ready, "Prometheus is ready", PATIENCE)
        yield running
        (folder / "rules/faster.yml").unlink()
        for path, text in shipped.items():
            path.write_text(text)


# One release is enough: the commands are the same, and the test takes a minute.
@pytest.mark.parametrize("machine", ["trixie"], indirect=True, scope="package")
def test_an_alert_is_rehearsed_with_the_documented_commands(
    service: Service, alerting: PrometheusServer, receivers: Receivers
) -> None:
    """One fault pages, its end is sent, and the service, its secrets and its registry take no part in it."""
    machine = service.machine
    machine.run(block("--store group-readable"))  # a drop-in that must not apply to the second instance
    service.wait_for(1, "tigr_up", **PROD_PING)
    pid, logins = machine.property("MainPID"), service.simulator.log.requests("prod", "token")
    scraped = machine.root.joinpath("etc/prometheus/prometheus.yml").read_text()
    packages, start, scrape, state, fault, end, remove, stop = REHEARSAL

    machine.run(f"cd /root/tigr-monitor\n{packages}")
    machine.run(FASTER + start)
    machine.run(scrape)
    well = "rehearsal: login and pings work|rehearsal: logins and pings work"
    wait_for(lambda: re.search(well, machine.run(state, check=False)), "the second instance is well", PATIENCE)
    variables = machine.run(f"cat /proc/{machine.property('MainPID', 'rehearsal-monitor')}/environ").split("\0")
    names = {variable.partition("=")[0] for variable in variables}
    assert not names & {"TIGR_CONFIG_FILE", "TIGR_SECRETS_DIR", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY"}
    assert machine.property("SupplementaryGroups", "rehearsal-monitor") == ""
    wait_for(lambda: len(alerting.now("up == 1")) == 2, "Prometheus scrapes both", PATIENCE)

    assert "api: status code=503" in machine.run(fault)
    wait_for(lambda: receivers.about("rehearsal"), "the page", PATIENCE)
    (page, *_) = (message for message in receivers.messages if message.subject == "rehearsal")
    assert (page.receiver, page.name, page.labels["instance"]) == ("pager", "TigrPingFailing", "rehearsal")
    assert re.fullmatch(
        r"rehearsal: ping has failed since [\d:]{8} UTC, reason: server_error \(localhost(:\d+)?\)\.", page.summary
    )
    assert "server_error" in machine.run(state, check=False)
    assert "api: none" in machine.run(end)
    wait_for(lambda: receivers.about("rehearsal", "resolved"), "the message about the end", PATIENCE)

    machine.run(remove)
    assert machine.root.joinpath("etc/prometheus/prometheus.yml").read_text() == scraped
    wait_for(lambda: len(alerting.targets()) == 1, "Prometheus scrapes only the service", PATIENCE)
    machine.run(stop)
    assert machine.run("systemctl list-units --all --no-legend 'rehearsal*'; ls /run | grep rehearsal || true") == ""
    pages = {name for receiver, name in receivers.about("rehearsal") if receiver == "pager"}
    assert pages == {"TigrPingFailing"}
    assert (machine.property("MainPID"), service.value("tigr_up", **PROD_PING)) == (pid, 1)
    assert service.simulator.log.requests("prod", "token") == logins
    assert not leaks(json.dumps([*variables, *receivers.bodies]), values(CANARIES))
