"""The documented commands remove the service, and what it has added to Prometheus and Alertmanager.

The name of this module makes it the last one that uses the machines.
"""

from __future__ import annotations

import pytest

from tests.system.systemd.file_tree import differences, file_tree
from tests.system.systemd.installed import Service, block

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(900),  # the first test installs the service, and may wait for its ports
]

PROMETHEUS = block("rm -f /etc/prometheus/watchdog.yml")
PURGE = block("apt-get purge prometheus")
# The documentation names the lines of these files that belong to the project.
EDITED = {"etc/prometheus/prometheus.yml", "etc/prometheus/alertmanager.yml"}
CONFIGURED = """
install -d /etc/systemd/system/tigr-monitor.service.d /etc/systemd/system/tigr-monitor-check.service.d
for unit in tigr-monitor tigr-monitor-check
do
    printf '[Service]\\nMemoryMax=200M\\n' > "/etc/systemd/system/$unit.service.d/override.conf"
done
"""


def test_removal_leaves_the_files_of_before(service: Service) -> None:
    """After the removal of an installation with every option, files, users, groups and units are those of before."""
    machine = service.machine
    machine.run(f"cd /root/tigr-monitor\n{block('apt-get install --no-install-recommends prometheus ')}")
    service.write_settings(ping_interval="2s")  # also the time between two logins, for which setup waits
    machine.run(block("enable --now"))
    machine.run(block("--store group-readable"))
    machine.run(f"{CONFIGURED}systemctl daemon-reload; systemctl restart tigr-monitor")
    installed = differences(machine.files, file_tree(machine.root))
    assert {
        "etc/group",
        "etc/default/prometheus",
        "etc/default/prometheus-alertmanager",
        "etc/prometheus/rules/alerts.yml",
        "etc/systemd/system/tigr-.service.d/reread-secrets.conf",
        "etc/systemd/system/multi-user.target.wants/tigr-monitor.service",
        "opt/tigr-monitor/bin/tigr-monitor",
        "usr/local/bin/tigr-monitor",
        "var/lib/private/tigr-monitor",
    } <= installed

    machine.run(block("rm -rf /opt/tigr-monitor"))
    machine.run(PROMETHEUS)
    assert differences(machine.files, file_tree(machine.root)) == EDITED
    assert machine.run("systemctl list-units --all --no-legend 'tigr*'; ls /run | grep tigr || true") == ""
    # The lines that name the removed files, as the table of the documentation lists them.
    machine.run(
        "sed -i /watchdog.yml/d /etc/prometheus/prometheus.yml; promtool check config /etc/prometheus/prometheus.yml"
    )
    machine.run(
        "sed -i /tigr.tmpl/d /etc/prometheus/alertmanager.yml; amtool check-config /etc/prometheus/alertmanager.yml"
    )

    machine.run(PURGE, "y\n")
    machine.run("test ! -e /etc/prometheus -a ! -e /etc/default/prometheus -a ! -e /usr/bin/prometheus-alertmanager")
