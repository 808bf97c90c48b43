"""Client certificates of the daemon: presented to the hosts, and read again at a reload."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.demanding_server import DemandingServer
from tests.support.odd_certificates import Pair, ca_extensions, issue
from tests.support.process import Monitor, wait_for

TOKEN = {"environment": "prod", "endpoint": "token"}
RELOADED = "tigr_config_last_reload_successful"


def write_client(directory: Path, root: Pair, common_name: str, file: str = "client") -> None:
    """Write the client certificate and its key."""
    pair = issue(common_name, root)
    (directory / f"{file}.crt").write_bytes(pair.pem)
    (directory / f"{file}.key").write_bytes(pair.key_pem())


def environment_table(name: str, url: str, directory: Path, file: str) -> str:
    """Return the settings of an environment with a client certificate."""
    values = {"token_url": url, "api_url": url}
    values |= {name: f"a-{name}" for name in ("client_id", "client_secret", "username", "password")}
    values |= {"client_cert": f"{directory / file}.crt", "client_key": f"{directory / file}.key"}
    return "\n".join([f"[environments.{name}]", *(f'{key} = "{value}"' for key, value in values.items())])


def test_the_daemon_presents_its_certificate_and_reads_it_again_at_a_reload(tmp_path: Path) -> None:
    """A pair that does not fit leaves the previous one in force; a renewed one is presented."""
    root = issue("root", None, ca_extensions())
    write_client(tmp_path, root, "first")
    write_client(tmp_path, root, "uat", file="uat")
    with DemandingServer(tmp_path, root) as server:
        common = f'ca_file = "{server.ca_file}"\nproxy = "none"\nping_interval = "1s"'
        tables = [
            environment_table("prod", server.url, tmp_path, "client"),
            environment_table("uat", server.url, tmp_path, "uat"),
        ]
        (tmp_path / "tigr.toml").write_text("\n".join([common, *tables]))
        with Monitor({"TIGR_CONFIG_FILE": str(tmp_path / "tigr.toml")}, tmp_path) as monitor:
            monitor.wait_for(1, "tigr_failure", reason="unexpected_status", **TOKEN)  # the server's 204
            wait_for(lambda: {"first", "uat"} <= set(server.subjects), "each environment presents its own certificate")
            assert monitor.value("tigr_token_host_reachable", environment="prod") == 1

            key = (tmp_path / "client.key").read_bytes()
            (tmp_path / "client.key").write_bytes(issue("other", None).key_pem())
            monitor.process.send_signal(signal.SIGHUP)
            monitor.wait_for(0, RELOADED)
            monitor.wait_for_log("client_key in")
            monitor.wait_for_log("does not belong to the certificate")
            seen = len(server.subjects)
            wait_for(lambda: "first" in server.subjects[seen:], "the previous certificate is still presented")
            (tmp_path / "client.key").write_bytes(key)

            write_client(tmp_path, root, "renewed")
            monitor.process.send_signal(signal.SIGHUP)
            monitor.wait_for(1, RELOADED)
            wait_for(lambda: "renewed" in server.subjects, "the renewed certificate is presented")
            wait_for(lambda: "reloaded: new settings are in force" in monitor.log(), "the change is logged")
    assert set(server.subjects) == {"first", "renewed", "uat"}
