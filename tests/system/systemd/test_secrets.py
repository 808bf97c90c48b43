"""`setup` and `set-secret` on a booted Debian, with the secrets stored in each of the three ways."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.installation.stores import Way
from monitor.installation.switching import STORES
from monitor.simulator.faults import Status
from tests.support.canaries import CANARIES, leaks, values
from tests.support.terminal import INTERRUPT
from tests.system.systemd.installed import PROD_PING, SUITES, Service

pytestmark = [
    pytest.mark.system,
    pytest.mark.needs("mmdebstrap", "systemd-nspawn", "unshare", "nsenter"),
    pytest.mark.timeout(900),  # the first test installs the service, and may wait for its ports
]

TRIXIE = pytest.mark.parametrize("machine", ["trixie"], indirect=True)
FILE = "tigr_environments__prod__password"
PASSWORD = "Brand:new/canary-value"
CREDENTIALS = "/etc/tigr-monitor/credentials"
ENTERED = [
    ("prod client id: ", CANARIES.client_id),
    ("prod client secret: ", ""),  # refused
    ("prod client secret: ", CANARIES.client_secret),
    ("prod user name: ", CANARIES.username),
    ("prod password: ", CANARIES.password),
]
KEPT = [
    (f"prod {name} (set; Enter keeps it): ", "") for name in ("client id", "client secret", "user name", "password")
]
ONLY_PROD = [("Monitor prod? [Y/n] ", ""), ("Monitor uat? [Y/n] ", "n")]


@contextmanager
def no_process_shows(secrets: tuple[str, ...], service: Service) -> Iterator[None]:
    """Read the arguments and variables of all processes of the machine again and again; none contains a secret."""
    ended, shown, commands = threading.Event(), set[str](), set[bytes]()

    def read() -> None:
        while not ended.wait(0.005):
            for process in service.machine.processes.glob("[0-9]*"):
                try:
                    command, variables = (process.joinpath(name).read_bytes() for name in ("cmdline", "environ"))
                except OSError:  # the process has ended
                    continue
                commands.add(command)
                texts = (command + variables).decode(errors="replace")
                shown.update(process.name for secret in secrets if secret in texts)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join()
    assert any(b"/tigr-monitor\0setup" in command for command in commands)
    assert not shown


def listing(service: Service, directory: Path) -> list[str]:
    """Return owner, group, mode and name of the files in a directory."""
    return service.machine.run(f"cd {directory} && stat -c '%U %G %a %n' *").splitlines()


def without_secrets(service: Service) -> None:
    """Undo what the fixture has entered."""
    service.machine.run(f"rm -rf {CREDENTIALS}")


@TRIXIE
def test_setup_asks_checks_and_starts(service: Service) -> None:
    """A new user types four secrets, which nothing shows, and the service runs; the second time, Enter keeps all."""
    without_secrets(service)
    service.write_settings(ping_interval="2s")  # also the time between two logins
    toml = service.machine.root / "etc/tigr-monitor/tigr-monitor.toml"
    before = toml.read_text()
    with no_process_shows(values(CANARIES), service):
        status, terminal = service.machine.run_on_terminal("tigr-monitor setup", [*ONLY_PROD, *ENTERED])
    assert status == 0, terminal
    assert not leaks(terminal, values(CANARIES))
    assert "prod client secret: is empty" in terminal
    assert re.search(r"prod: login at .* login .* status 200.* ping .* status 200", terminal, re.DOTALL)
    assert "uat" not in terminal.partition("checking")[2]
    assert "the service runs, and starts at each boot" in terminal
    names = ["client_id", "client_secret", "password", "username"]
    assert listing(service, Path(CREDENTIALS)) == [f"root root 600 tigr_environments__prod__{name}" for name in names]
    assert service.machine.run("systemctl is-enabled tigr-monitor").strip() == "enabled"
    assert toml.read_text() == before.replace("[environments.uat]\ntoken", "[environments.uat]\nenabled = false\ntoken")
    service.wait_for(1, "tigr_up", **PROD_PING)
    pid = service.machine.property("MainPID")
    asked_again = [ONLY_PROD[0], ("Monitor uat? [y/N] ", "")]
    status, terminal = service.machine.run_on_terminal("tigr-monitor setup", [*asked_again, *KEPT])
    assert status == 0, terminal
    assert "prod client id set, prod client secret set, prod user name set, prod password set" in terminal
    assert "the check succeeded, and the service runs" in terminal
    assert service.machine.property("MainPID") == pid


@TRIXIE
@pytest.mark.parametrize("reply", [INTERRUPT, "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_an_interrupted_setup_loses_nothing(reply: str, service: Service) -> None:
    """The stored secrets are as before, and the service is not started."""
    before = service.machine.run(f"cd {CREDENTIALS} && sha256sum *")
    replies = [*ONLY_PROD, (KEPT[0][0], "another"), (KEPT[1][0], reply)]
    status, terminal = service.machine.run_on_terminal("tigr-monitor setup", replies)
    assert status != 0, terminal
    assert service.machine.run(f"cd {CREDENTIALS} && sha256sum *") == before
    assert service.machine.property("ActiveState") == "inactive"


def test_each_way_stores_and_rotates(service: Service) -> None:
    """A switch keeps every value; a rotation puts the new value into force, by a reload if the way allows it.

    Only the encryption depends on the version of systemd.
    """
    version = int(service.machine.run("systemctl --version").split()[1])
    ways = [Way.ENCRYPTED] if version == SUITES["bookworm"] else [Way.ENCRYPTED, Way.GROUP_READABLE, Way.ROOT_ONLY]
    service.write_settings(ping_interval="2s")  # also the time between two logins, for which setup waits
    service.start()
    for number, way in enumerate(ways):
        store = STORES[way]
        with no_process_shows((*values(CANARIES), PASSWORD), service):
            output = service.machine.run(f"tigr-monitor setup --store {way} --stdin < /dev/null 2>&1")
            assert "the check succeeded, and the service runs" in output
            for other in set(STORES.values()) - {store}:
                assert service.machine.run(f"find {other.directory} -type f", check=False).count("tigr_") == 0
            of_file = "root tigr-secrets 640" if way is Way.GROUP_READABLE else "root root 600"
            assert f"{of_file} {FILE}" in listing(service, store.directory)
            assert len(listing(service, store.directory)) == 8
            pid, password = service.machine.property("MainPID"), f"{PASSWORD}-{number}"
            service.simulator.environment("prod").change_password(password)
            output = service.machine.run("tigr-monitor set-secret prod password --stdin 2>&1", f"{password}\n")
        assert "the service was restarted" in output or way is Way.GROUP_READABLE
        assert (service.machine.property("MainPID") == pid) == (way is Way.GROUP_READABLE)
        service.wait_for(1, "tigr_up", **PROD_PING)
        service.wait_for(1, "tigr_up", environment="prod", endpoint="token")
        assert f"{of_file} {FILE}" in listing(service, store.directory)
        if way is Way.ENCRYPTED:
            text = service.machine.run(f"cat {store.directory}/*")
            assert not leaks(text, (*values(CANARIES), PASSWORD))
        service.machine.run("systemctl start tigr-monitor-check")
    journal = service.machine.run("journalctl --quiet --all --output=export")
    assert not leaks(journal, [PASSWORD])


@TRIXIE
@pytest.mark.parametrize("way", [Way.GROUP_READABLE, Way.ROOT_ONLY])
def test_a_refused_value_leaves_the_old_one_in_force(way: Way, service: Service) -> None:
    """If the service does not run with what is stored, the old file is back."""
    service.machine.run(f"tigr-monitor setup --store {way} --stdin < /dev/null")
    command = "tigr-monitor set-secret prod password --stdin 2>&1 || echo status $?"
    path = STORES[way].path(("environments", "prod", "password"))
    output = service.machine.run(command, f"{PASSWORD}\x07")
    assert (
        output == "tigr-monitor: prod password: has a control character in it; the old value stays in force\nstatus 2\n"
    )
    service.write_settings(ping_interval="often")
    output = service.machine.run(command, PASSWORD)
    assert output.endswith("status 1\n")
    assert "ping_interval in /etc/tigr-monitor/tigr-monitor.toml: must be a duration" in output
    assert "the old value is stored again" in output
    assert service.machine.run(f"cat {path}") == CANARIES.password
    assert not leaks(output, [PASSWORD, *values(CANARIES)])


@TRIXIE
def test_a_failed_check_starts_nothing_by_itself(service: Service) -> None:
    """The values are stored, the message has both ways on, and the operator may start the service all the same."""
    service.simulator.environment("prod").api_faults.set(Status(403))
    lines = "".join(f"{name}={secret}\n" for name, secret in service.simulator.environment("prod").secrets().items())
    without_secrets(service)
    output = service.machine.run("tigr-monitor setup --only prod --stdin 2>&1 || echo status $?", lines)
    assert output.endswith("status 1\n")
    assert "✗ ping" in output
    assert "tigr-monitor: the check failed, so the service was not started; all values are stored" in output
    assert service.machine.property("ActiveState") == "inactive"
    assert len(listing(service, Path(CREDENTIALS))) == 4
    prompt = ("The check failed. Start the service all the same? [y/N] ", "y")
    command = "tigr-monitor setup --only prod"
    status, terminal = service.machine.run_on_terminal(command, [*KEPT, prompt])
    assert (status, service.machine.property("ActiveState")) == (1, "active"), terminal


@TRIXIE
def test_files_with_the_older_names_work(service: Service) -> None:
    """The service reads them, and a rotation leaves one file with the name of the scheme."""
    service.machine.run(f'cd {CREDENTIALS}; for file in *; do mv "$file" "${{file#tigr_}}"; done')
    service.write_settings(ping_interval="2s")  # also the time between two logins, for which the rotation waits
    service.start()
    service.simulator.environment("prod").change_password(PASSWORD)
    service.machine.run("tigr-monitor set-secret prod password --stdin", PASSWORD)
    service.wait_for(1, "tigr_up", **PROD_PING)
    names = service.machine.run(f"ls {CREDENTIALS}").splitlines()
    assert FILE in names
    assert FILE.removeprefix("tigr_") not in names
    assert len(names) == 8


@TRIXIE
def test_a_name_that_is_almost_right_is_named(service: Service) -> None:
    """The status of the service has the name that the file must have."""
    service.machine.run(f"mv {CREDENTIALS}/{FILE} {CREDENTIALS}/prod-password.txt")
    service.machine.run("systemctl start tigr-monitor", check=False)
    assert f"there is no such setting; did you mean {FILE}?" in service.machine.run(
        "systemctl status tigr-monitor", check=False
    )


@TRIXIE
def test_another_user_gets_a_clear_message(service: Service) -> None:
    """Only root can write the secrets."""
    for command in ("setup", "set-secret prod password"):
        script = f"setpriv --reuid=65534 --regid=65534 --clear-groups tigr-monitor {command} 2>&1 || echo status $?"
        output = service.machine.run(script)
        assert output == "tigr-monitor: only root can write the secrets of the service; use sudo\nstatus 2\n"
