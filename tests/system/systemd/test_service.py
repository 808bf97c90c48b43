"""The documented commands on a minimal Debian: operate the service."""

from __future__ import annotations

import json
import re

import pytest

from monitor.simulator.faults import Status
from tests.support.canaries import leaks
from tests.support.checkout import ROOT
from tests.support.process import wait_for
from tests.system.systemd.installed import BLOCKS, PATIENCE, PROD_PING, SUITES, Service, block
from tests.system.systemd.machine import Machine

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(900),  # the first test installs the service, and may wait for its ports
]


def test_the_check_is_confined_like_the_service() -> None:
    """Credentials, state, user and sandbox of the check are literally those of the service."""
    service, check = (
        ROOT.joinpath(f"systemd/{name}.service").read_text() for name in ("tigr-monitor", "tigr-monitor-check")
    )
    common = service[service.index("Environment=") : service.index("\n[Install]")]
    assert check.endswith(common)
    assert "LoadCredential=" in common


def test_systemd_accepts_the_units(machine: Machine) -> None:
    """`systemd-analyze verify` reports nothing except, before version 254, two unknown settings."""
    version = int(machine.run("systemctl --version").split()[1])
    assert version in SUITES.values()
    output = machine.run("systemd-analyze verify tigr-monitor.service tigr-monitor-check.service")
    unknown = [line for line in output.splitlines() if re.search(r"Restart(Steps|MaxDelaySec)", line)]
    assert output.splitlines() == unknown
    assert len(unknown) == (2 if version < 254 else 0)


@pytest.mark.parametrize("unit", ["tigr-monitor", "tigr-monitor-check"])
def test_the_exposure_level_is_low(unit: str, machine: Machine) -> None:
    """`systemd-analyze security` rates each unit at most 1.2 of 10."""
    output = machine.run(f"systemd-analyze security --no-pager {unit}.service")
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", output)
    assert overall
    assert float(overall[1]) <= 1.2, output


def test_the_service_starts_and_is_scraped(service: Service) -> None:
    """The service starts and exports metrics, its status is readable, and its log lines have priorities."""
    machine = service.machine
    service.write_settings(ping_interval="2s")
    machine.run(block("enable --now"))
    service.wait_for(1, "tigr_up", **PROD_PING)
    service.wait_for(1, "tigr_up", environment="uat", endpoint="ping")
    assert service.value("process_resident_memory_bytes")
    wait_for(
        lambda: re.search("prod up, token .*; uat up, token ", machine.property("StatusText")), "its status", PATIENCE
    )
    assert 'Status: "prod up, token ' in machine.run("systemctl status tigr-monitor")
    assert "tigr-monitor status\n" in BLOCKS
    assert "prod, uat: logins and pings work" in machine.run("tigr-monitor status")
    service.simulator.environment("prod").api_faults.set(Status(503))
    service.wait_for_journal("prod: ping failed")
    lines = [json.loads(line) for line in machine.run("journalctl -q -u tigr-monitor -o json").splitlines()]
    ours = {line["MESSAGE"]: line["PRIORITY"] for line in lines if line.get("_COMM") == "tigr-monitor"}
    assert {message[:5] for message in ours} == {"level"}
    assert {"info": "6", "warning": "4"}.items() >= {
        (message.split()[0].removeprefix("level="), priority) for message, priority in ours.items()
    }
    assert any("ping failed" in message for message in ours)


def test_other_users_cannot_read_a_secret(service: Service) -> None:
    """An unprivileged user can read neither the files, the credentials nor the environment of the service."""
    service.start()
    for path in (
        "/etc/tigr-monitor/credentials/tigr_environments__prod__password",
        "/run/credentials/tigr-monitor.service/tigr_tigr_environments__prod__password",
        f"/proc/{service.machine.property('MainPID')}/environ",
    ):
        service.machine.run(f"cat {path} >/dev/null")
        output = service.machine.run(f"setpriv --reuid=65534 --regid=65534 --clear-groups cat {path}", check=False)
        assert "Permission denied" in output


def test_no_core_is_dumped(service: Service) -> None:
    """The core dump limit of the service is 0, because a dump would contain the secrets."""
    service.start()
    limits = service.machine.run(f"cat /proc/{service.machine.property('MainPID')}/limits")
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_the_service_may_open_4096_files(service: Service) -> None:
    """The filter of system calls keeps the daemon from raising the limit, so the unit sets it."""
    service.start()
    limits = service.machine.run(f"cat /proc/{service.machine.property('MainPID')}/limits")
    assert re.search(r"Max open files +4096 +4096 ", limits)


def test_systemd_restarts_a_hanging_service(service: Service) -> None:
    """The watchdog restarts the service, and the journal contains the stacks of the threads.

    Python reads the stack of each thread while the others run. If one changes meanwhile, the rest is missing, and main
    is last.
    """
    service.start()
    service.machine.run("systemctl kill --signal=STOP tigr-monitor")
    service.wait_for_restart(1)
    service.wait_for(1, "tigr_up", **PROD_PING)
    journal = service.machine.journal()
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal
    assert re.search(r'File ".*/monitor/.*", line \d+ in ', journal)


def test_systemd_restarts_a_crashed_service(service: Service) -> None:
    """After a crash the service runs again, and each environment logs in once more."""
    service.start()
    service.machine.run("systemctl kill --signal=SEGV tigr-monitor")
    service.wait_for_restart(1)
    service.wait_for(1, "tigr_up", **PROD_PING)
    assert service.simulator.log.requests("prod", "token") == 2


def test_a_stop_is_clean(service: Service) -> None:
    """A stop exits with status 0 and keeps the state file and the journal."""
    service.start()
    service.machine.run("systemctl stop tigr-monitor")
    assert service.machine.property("Result") == "success"
    assert service.machine.property("ExecMainStatus") == "0"
    assert "msg=stopping" in service.machine.journal()
    for name in ("state.json", "journal.sqlite3"):
        service.machine.run(f"test -s /var/lib/private/tigr-monitor/{name}")


def test_a_wrong_setting_is_reported_without_a_restart(service: Service) -> None:
    """A wrong setting appears in the status and as an error in the journal, and systemd does not restart."""
    service.write_settings(ping_interval="often")
    assert "Job for tigr-monitor.service failed" in service.machine.run("systemctl start tigr-monitor", check=False)
    status = service.machine.run("systemctl status tigr-monitor", check=False)
    assert re.search(r'Status: "a setting is wrong: ping_interval in .*: must be a duration', status)
    assert "status=2" in status
    assert service.machine.property("ActiveState") == "failed"
    assert service.machine.property("NRestarts") == "0"
    errors = service.machine.run("journalctl -q -u tigr-monitor -p err -o cat")
    assert "ping_interval in /etc/tigr-monitor/tigr-monitor.toml: must be a duration" in errors
    for command in ("status", "check"):
        output = service.machine.run(f"tigr-monitor {command} || echo status $?")
        assert "no monitor runs on this machine: the service tigr-monitor has failed: a setting is wrong: " in output
        assert ("systemctl start tigr-monitor-check" in output) == (command == "check")
        assert "is missing" not in output
        assert output.endswith("status 3\n")
    assert not service.simulator.log.records()


def test_a_restart_does_not_send_rejected_credentials_again(service: Service) -> None:
    """Restarts and kills cause no further login: the password was sent once with each pair of field names."""
    service.enter_secrets(password="not-the-password")
    service.machine.run("systemctl start tigr-monitor")
    service.wait_for(1, "tigr_credentials_rejected", environment="prod")
    for restart in ("systemctl restart tigr-monitor", "systemctl kill --signal=KILL tigr-monitor"):
        pid = service.machine.property("MainPID")
        service.machine.run(restart)
        wait_for(lambda before=pid: service.machine.property("MainPID") not in ("0", before), "a new process", PATIENCE)  # type: ignore[misc]
        service.wait_for(1, "tigr_credentials_rejected", environment="prod")
        service.wait_for(1, "tigr_up", environment="uat", endpoint="ping")
    assert service.simulator.log.requests("prod", "token") == 2
    assert "prod LOGIN REJECTED, next try " in service.machine.property("StatusText")


def test_a_rotated_credential_needs_a_restart(service: Service) -> None:
    """A reload logs that new credentials need a restart, and a restart uses them."""
    service.start()
    service.simulator.environment("prod").change_password("Brand:new/canary-password")
    service.enter_secrets(password="Brand:new/canary-password")
    service.machine.run("systemctl reload tigr-monitor")
    service.wait_for_journal("systemd copies LoadCredential secrets at the start, so a new secret requires a restart")
    service.machine.run("systemctl restart tigr-monitor")
    service.wait_for(1, "tigr_up", **PROD_PING)
    assert not leaks(service.machine.journal(), ["Brand:new/canary-password"])


def test_a_refused_reload_fails_and_the_commands_work(service: Service) -> None:
    """`systemctl reload` fails if the settings are wrong, and the old ones stay in force; root can use the socket."""
    service.start()
    pid = service.machine.property("MainPID")
    socket = "/run/tigr-monitor/control.sock"
    assert service.machine.run(f"stat -L --format='%a %F' {socket} /run/tigr-monitor/") == "600 socket\n700 directory\n"
    executable = "/opt/tigr-monitor/bin/tigr-monitor"
    wait_for(
        lambda: service.machine.run(f"{executable} status && echo well", check=False).endswith("well\n"), "it is well"
    )
    assert service.machine.run(f"{executable} health") == "Healthy\n"
    service.write_settings(ping_interval="often")
    assert "Job for tigr-monitor.service failed" in service.machine.run("systemctl reload tigr-monitor", check=False)
    service.wait_for_journal("tigr-monitor: the reload is refused, the old settings stay in force:")
    errors = service.machine.run("journalctl -q -u tigr-monitor -p err -o cat")
    assert "  ping_interval in /etc/tigr-monitor/tigr-monitor.toml: must be a duration" in errors
    assert (service.machine.property("ActiveState"), service.machine.property("MainPID")) == ("active", pid)
    refused = service.machine.run(f"{executable} reload || echo status $?")
    assert "must be a duration" in refused
    assert refused.endswith("status 1\n")
    other = f"setpriv --reuid=65534 --regid=65534 --clear-groups {executable} status || echo status $?"
    output = service.machine.run(other)
    assert "permission denied" in output
    assert output.endswith("status 3\n")
    service.write_settings(ping_interval="2s")
    service.machine.run("systemctl reload tigr-monitor")
    assert service.value("tigr_interval_seconds", **PROD_PING) == 2
    service.machine.run("systemctl stop tigr-monitor")
    assert service.machine.run(f"{executable} status || echo status $?").endswith("status 3\n")
    service.machine.run("test ! -e /run/tigr-monitor")


def test_a_manual_check_uses_credentials_and_state_of_the_service(service: Service) -> None:
    """The check works with and without the service, reports failures, and leaves no failed unit."""
    commands = block("systemctl start tigr-monitor-check")
    both = r"prod: login at .* login .* status 200.*uat: ping at .* ping .* status 200"
    assert re.search(both, service.machine.run(commands), re.DOTALL)
    service.enter_secrets(password="not-the-password")
    service.machine.run("systemctl start tigr-monitor")
    service.wait_for(1, "tigr_credentials_rejected", environment="prod")
    before = service.simulator.log.requests("prod", "token")
    assert "failed" in service.machine.run("systemctl start tigr-monitor-check", check=False)
    assert "not sent: these credentials were rejected before" in " ".join(
        service.machine.journal("tigr-monitor-check").split()
    )
    assert service.simulator.log.requests("prod", "token") == before
    assert "tigr-monitor-check" not in service.machine.run("systemctl --failed --no-legend")
