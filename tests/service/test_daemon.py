"""The daemon as a process, from its start to its exit status."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest

from monitor.simulator import CertificateVariant, Simulator
from monitor.simulator.faults import ApiOpen, Certificate, HangAfterHandshake, Refuse, Status
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.process import PATIENCE, Monitor, command, run, wait_for
from tests.support.web import write

FAST = {
    "TIGR_PING_INTERVAL": "1s",
    "TIGR_AUTH_INTERVAL": "3s",
    "TIGR_CONFIRM_INTERVAL": "1s",
    "TIGR_TIMEOUT": "30s",  # a busy machine must not turn another reason into a timeout
    "TIGR_RENEW_MARGIN": "1s",
}
PROD_PING = {"environment": "prod", "endpoint": "ping"}
PROD_TOKEN = {"environment": "prod", "endpoint": "token"}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments with canaries as secrets."""
    with simulator_with_canaries() as running:
        yield running


def files(simulator: Simulator, directory: Path, **changes: str) -> dict[str, str]:
    """Write the settings as a TOML file and a directory of secrets; return the variables that name them."""
    secrets, config = directory / "secrets", directory / "monitor.toml"
    secrets.mkdir(exist_ok=True)
    for environment in simulator.environments.values():
        for name, secret in environment.secrets().items():
            (secrets / name.lower()).write_text(secret)
    common = {name.removeprefix("TIGR_").lower(): text for name, text in FAST.items()} | {
        "ca_file": str(simulator.ca_file),
        "proxy": "none",
        **changes,
    }
    lines = [f'{name} = "{text}"' for name, text in common.items()]
    for name, environment in simulator.environments.items():
        lines += [
            f"[environments.{name}]",
            f'token_url = "{environment.token_url}"',
            f'api_url = "{environment.api_url}"',
        ]
    config.write_text("\n".join(lines))
    return {"TIGR_CONFIG_FILE": str(config), "TIGR_SECRETS_DIR": str(secrets)}


def test_the_daemon_runs_from_start_to_stop(simulator: Simulator, tmp_path: Path) -> None:
    """It logs in, pings, exports metrics, logs each change once, and ends with status 0."""
    with Monitor(simulator.settings() | FAST, tmp_path) as monitor:
        for environment in ("prod", "uat"):
            for endpoint in ("token", "ping"):
                monitor.wait_for(1, "tigr_up", environment=environment, endpoint=endpoint)
        assert monitor.get("/-/ready")[0] == 200
        assert monitor.get("/-/healthy")[0] == 200
        assert "tigr_up" in monitor.get("/metrics", "application/openmetrics-text; version=1.0.0")[1]
        first = monitor.value("tigr_token_expiry_headroom_seconds", environment="prod")
        second = monitor.value("tigr_token_expiry_headroom_seconds", environment="prod")
        assert first is not None
        assert second is not None
        assert second < first

        simulator.environment("prod").api_faults.set(Status(503))
        wait_for(lambda: (monitor.value("tigr_consecutive_failures", **PROD_PING) or 0) >= 3, "three failed pings")
        assert monitor.value("tigr_up", **PROD_PING) == 0
        assert monitor.value("tigr_up", environment="uat", endpoint="ping") == 1
        simulator.environment("prod").api_faults.clear()
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        assert monitor.log().count("prod: ping failed: server_error") == 1
        monitor.wait_for_log("prod: ping works again")
        assert monitor.stop() == 0
    assert "stopping" in monitor.log()
    for record in simulator.log.records():
        assert (record.method, record.path) in {("POST", "/oauth/token"), ("GET", "/ClientAPI/api/system/ping")}
        assert record.fresh
        assert record.user_agent.startswith("tigr-monitor/")
        if record.method == "POST":
            assert record.fields == ("Username", "Password", "grant_type")


def test_no_secret_is_exposed(simulator: Simulator, tmp_path: Path) -> None:
    """No secret is in the log at level debug, on a page, in the state or in the process list."""
    state = tmp_path / "state"
    state.mkdir()
    verbose = {"TIGR_LOG_LEVEL": "debug", "TIGR_STATE_DIR": str(state)}
    with Monitor(simulator.settings() | FAST | verbose, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        process = Path(f"/proc/{monitor.process.pid}")
        seen = [monitor.get(path)[1] for path in ("/metrics", "/", "/fragment", "/-/ready", "/nothing")]
        seen += [process.joinpath("cmdline").read_text(), monitor.log()]
        seen += [path.read_text(errors="replace") for path in state.iterdir() if path.is_file()]  # not the socket
    secrets = (*values(CANARIES), f"{CANARIES.client_id}:{CANARIES.client_secret}")
    assert not [leak for text in seen for leak in leaks(text, secrets)]
    assert not [text for text in seen if "eyJ" in text]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_daemon_ends_while_requests_hang(number: signal.Signals, simulator: Simulator, tmp_path: Path) -> None:
    """It ends with status 0, and does not wait for the requests."""
    for environment in simulator.environments.values():
        environment.token_faults.set(HangAfterHandshake())
        environment.api_faults.set(HangAfterHandshake())
    with Monitor(simulator.settings() | FAST | {"TIGR_TIMEOUT": "5m"}, tmp_path) as monitor:
        simulator.log.wait_for_requests(2, PATIENCE)  # a ping waits for its login
        began = time.monotonic()
        monitor.process.send_signal(number)
        assert monitor.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 30


def test_a_port_in_use_is_reported(simulator: Simulator) -> None:
    """The message is one line with the setting to change, and the status is 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run(["run"], simulator.settings() | {"TIGR_LISTEN": f"127.0.0.1:{taken.getsockname()[1]}"})
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1:" in ended.stderr
    assert "TIGR_LISTEN" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.once
def test_a_state_directory_in_use_is_reported(simulator: Simulator, tmp_path: Path) -> None:
    """The second monitor does not start."""
    shared = simulator.settings() | FAST | {"TIGR_STATE_DIR": str(tmp_path)}
    with Monitor(shared, tmp_path):
        ended = run(["run"], shared | {"TIGR_LISTEN": "127.0.0.1:0"})
    assert ended.returncode == 1
    assert "another tigr-monitor uses the state directory" in ended.stderr


@pytest.mark.once
def test_short_secrets_are_reported_at_the_start(simulator: Simulator, tmp_path: Path) -> None:
    """A warning names each secret of fewer than eight characters, without its value or length; there is none else."""
    for name, password in (("prod", "q7-Xw9z"), ("uat", "q7-Xw9zz")):
        environment = simulator.environment(name)
        environment.credentials = replace(CANARIES, password=password)
    with Monitor(files(simulator, tmp_path), tmp_path) as monitor:
        monitor.wait_for_log("prod: password: shorter than 8 characters")
        log = monitor.log()
    assert log.count("shorter than") == 1
    assert "q7-Xw9z" not in log
    assert "uat: password" not in log


@pytest.mark.once
def test_a_reload_reports_new_short_secrets(simulator: Simulator, tmp_path: Path) -> None:
    """The warning names the environments whose credentials have changed, and no others."""
    simulator.environment("prod").credentials = replace(CANARIES, password="q7-Xw9z")
    environ = files(simulator, tmp_path)
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for_log("prod: password: shorter than 8 characters")
        simulator.environment("uat").credentials = replace(CANARIES, client_secret="ab  cd  e")
        files(simulator, tmp_path)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("uat: client_secret: shorter than 8 characters")
        files(simulator, tmp_path, ping_interval="2s")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: monitor.log().count("reloaded: new settings") == 2, "the second reload ends")
        assert monitor.stop() == 0
        log = monitor.log()
    assert log.count("shorter than") == 2
    assert log.count("prod: password") == 1


@pytest.mark.once
@pytest.mark.parametrize("trouble", ["garbled", "future", "read-only", "missing"])
def test_a_problem_with_the_state_is_a_warning(trouble: str, simulator: Simulator, tmp_path: Path) -> None:
    """The daemon runs on."""
    state = tmp_path / "state"
    if trouble != "missing":
        state.mkdir()
    if trouble == "read-only":  # a directory in place of the file, because root ignores permissions
        state.joinpath("state.json").mkdir()
    elif trouble != "missing":
        state.joinpath("state.json").write_text('{"version": 99}' if trouble == "future" else "{garbled")
    with Monitor(simulator.settings() | FAST | {"TIGR_STATE_DIR": str(state)}, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        monitor.wait_for_log("level=warning")
        monitor.wait_for_log("state")


@pytest.mark.once
def test_a_crash_loop_logs_in_once(simulator: Simulator, tmp_path: Path) -> None:
    """A wrong password is sent in two requests, because the field names are unknown, in any number of starts."""
    simulator.environment("prod").change_password()
    wrong = simulator.settings() | FAST | {"TIGR_STATE_DIR": str(tmp_path)}
    wrong["TIGR_ENVIRONMENTS__PROD__PASSWORD"] = CANARIES.password
    for _ in range(3):
        with Monitor(wrong, tmp_path) as monitor:
            monitor.wait_for(1, "tigr_credentials_rejected", environment="prod")
            backoff = monitor.value("tigr_backoff_seconds", **PROD_TOKEN)
            assert backoff is not None
            assert 1100 < backoff <= 1200
            monitor.wait_for(1, "tigr_up", environment="uat", endpoint="ping")
            monitor.process.kill()
    assert simulator.log.requests("prod", "token") == 2


@pytest.mark.once
def test_a_reload_applies_new_settings(simulator: Simulator, tmp_path: Path) -> None:
    """Environments are added and removed with their series, intervals change, and counters keep their values."""
    environ = files(simulator, tmp_path)
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", environment="uat", endpoint="ping")
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        pinged = monitor.value("tigr_requests_total", outcome="success", **PROD_PING)
        assert pinged
        files(simulator, tmp_path, ping_interval="2s")
        text = Path(environ["TIGR_CONFIG_FILE"]).read_text()
        Path(environ["TIGR_CONFIG_FILE"]).write_text(
            text.replace("[environments.uat]", "[environments.uat]\nenabled = false")
        )
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: new settings are in force")
        assert 'environment="uat"' not in monitor.metrics()
        assert monitor.value("tigr_interval_seconds", **PROD_PING) == 2
        assert (monitor.value("tigr_requests_total", outcome="success", **PROD_PING) or 0) >= pinged
        files(simulator, tmp_path)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_up", environment="uat", endpoint="ping")


@pytest.mark.once
def test_wrong_settings_change_nothing(simulator: Simulator, tmp_path: Path) -> None:
    """The old settings stay in force, an error has the reason, and the reload gauge is 0 until a reload succeeds."""
    environ = files(simulator, tmp_path)
    with Monitor(environ, tmp_path) as monitor:
        assert monitor.value("tigr_config_last_reload_successful") == 1
        files(simulator, tmp_path, ping_interval="often")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(0, "tigr_config_last_reload_successful")
        monitor.wait_for_log("the old settings stay in force")
        monitor.wait_for_log("ping_interval")
        assert monitor.value("tigr_interval_seconds", **PROD_PING) == 1
        files(simulator, tmp_path, log_format="json")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_config_last_reload_successful")
        monitor.wait_for_log("TIGR_LOG_FORMAT changed; restart the monitor to apply it")


@pytest.mark.once
def test_an_unusable_web_configuration_sets_the_reload_gauge_to_0(simulator: Simulator, tmp_path: Path) -> None:
    """The gauge is 0 from the first scrape after the change on, until the file can be used and the settings too."""
    web = write(tmp_path / "web.yml", "http_server_config: {headers: {X-Frame-Options: sameorigin}}")
    environ = files(simulator, tmp_path, web_config_file=str(web))
    with Monitor(environ, tmp_path) as monitor:
        assert monitor.value("tigr_config_last_reload_successful") == 1
        for text in ("", "http_server_config: []\nhttp: 1"):
            write(web, text)
            assert monitor.value("tigr_config_last_reload_successful") == 0
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for_log("reloaded: no changes")
        assert monitor.value("tigr_config_last_reload_successful") == 0
        write(web, "{}")
        assert monitor.value("tigr_config_last_reload_successful") == 1


@pytest.mark.once
def test_a_rotated_password_causes_one_login_at_once(simulator: Simulator, tmp_path: Path) -> None:
    """The current token stays in use; a rejection starts the pause, and a reload allows one more login."""
    environ = files(simulator, tmp_path, auth_interval="1h")
    with Monitor(environ, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", **PROD_PING)
        secret = tmp_path / "secrets" / "tigr_environments__prod__password"
        secret.write_text("not-the-password")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_credentials_rejected", environment="prod")
        monitor.wait_for(1, "tigr_token_renewals_total", environment="prod", cause="credentials")
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_token_renewals_total", environment="prod", cause="operator")
        monitor.process.send_signal(signal.SIGHUP)
        wait_for(lambda: monitor.log().count("reloaded: no changes") == 2, "the second reload is done")
        pings = len(simulator.log.records("prod", "api"))
        simulator.log.wait_for_requests(pings + 2, PATIENCE, environment="prod", host="api")
        assert monitor.value("tigr_up", **PROD_PING) == 1
        assert monitor.value("tigr_token_renewals_total", environment="prod", cause="operator") == 1
        secret.write_text(CANARIES.password)
        monitor.process.send_signal(signal.SIGHUP)
        monitor.wait_for(1, "tigr_up", **PROD_TOKEN)
        assert monitor.value("tigr_credentials_rejected", environment="prod") == 0


@pytest.mark.once
def test_an_outage_of_the_login_does_not_hide_the_api(simulator: Simulator, tmp_path: Path) -> None:
    """The unauthenticated probe shows the state of the API; its 401 is not counted, and pings are `no_token`."""
    prod = simulator.environment("prod")
    prod.token_faults.set(Refuse())
    with Monitor(simulator.settings() | FAST, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_api_reachable", environment="prod")
        monitor.wait_for(1, "tigr_failure", reason="no_token", **PROD_PING)
        assert monitor.value("tigr_unauthorized_total", **PROD_PING) == 0
        assert monitor.value("tigr_api_open", environment="prod") == 0
        prod.api_faults.set(ApiOpen())
        monitor.wait_for(1, "tigr_api_open", environment="prod")
        monitor.wait_for_log("the Client API accepts unauthenticated requests")
        prod.api_faults.set(Refuse())
        monitor.wait_for(0, "tigr_api_reachable", environment="prod")


def test_the_expiry_of_an_expired_certificate_is_exported(simulator: Simulator, tmp_path: Path) -> None:
    """The handshake fails because of it."""
    simulator.environment("prod").api_faults.set(Certificate(CertificateVariant.EXPIRED))
    expiry = simulator.certificate_expiry(CertificateVariant.EXPIRED)
    with Monitor(simulator.settings() | FAST, tmp_path) as monitor:
        monitor.wait_for(expiry, "tigr_certificate_expiry_timestamp_seconds", **PROD_PING)
        monitor.wait_for(1, "tigr_failure", reason="certificate", **PROD_PING)


def test_a_stopped_process_continues_without_a_burst(simulator: Simulator, tmp_path: Path) -> None:
    """Each job runs once, and the missed runs are counted."""
    with Monitor(simulator.settings() | FAST, tmp_path) as monitor:
        monitor.wait_for(1, "tigr_up", environment="uat", endpoint="ping")
        monitor.process.send_signal(signal.SIGSTOP)
        with suppress(subprocess.TimeoutExpired):
            monitor.process.wait(5)  # it is stopped, so no event can be waited for
        before, continued = simulator.log.requests("prod", "api"), time.monotonic()
        monitor.process.send_signal(signal.SIGCONT)
        wait_for(
            lambda: (monitor.value("tigr_schedule_missed_total", **PROD_PING) or 0) >= 4, "missed runs are counted"
        )
        due = time.monotonic() - continued  # one ping per second
        assert simulator.log.requests("prod", "api") <= before + 2 + due


def test_all_eight_missing_settings_are_listed() -> None:
    """The status is 2, and there is one more line."""
    ended = run(["run"], {})
    assert ended.returncode == 2
    assert sum("is missing" in line for line in ended.stderr.splitlines()) == 8
    assert len(ended.stderr.splitlines()) == 9


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_a_wrong_setting(
    content: str | None, simulator: Simulator, tmp_path: Path
) -> None:
    """The status is 2, and the message names the setting."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    ended = run(["run"], simulator.settings() | {"TIGR_CA_FILE": str(path)})
    assert ended.returncode == 2
    assert "TIGR_CA_FILE: " in ended.stderr


def test_a_web_configuration_protects_every_page(simulator: Simulator, tmp_path: Path) -> None:
    """Clients without a password get 401, `health` needs no password, and a wrong file is a wrong setting."""
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{prometheus: '{bcrypt.hashpw(b'let me in', bcrypt.gensalt(4)).decode()}'}}")
    socket_path = {"TIGR_CONTROL_SOCKET": str(tmp_path / "control.sock")}
    protected = simulator.settings() | FAST | {"TIGR_WEB_CONFIG_FILE": str(web)} | socket_path
    with Monitor(protected, tmp_path) as monitor:
        assert {monitor.get(path)[0] for path in ("/", "/metrics", "/-/healthy", "/-/ready")} == {401}
        wait_for(lambda: run(["health"], socket_path).returncode == 0, "it is healthy")
    web.write_text("basic_auth_user: {}")
    ended = run(["run"], protected)
    assert ended.returncode == 2
    assert "basic_auth_user" in ended.stderr


def test_the_command_can_be_run_as_a_module() -> None:
    """`python -m monitor --version` prints the version."""
    ended = subprocess.run(command("--version"), capture_output=True, text=True, check=True, timeout=120)
    assert ended.stdout.startswith("tigr-monitor ")
