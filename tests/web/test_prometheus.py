"""Tests with a real Prometheus, which scrapes protected pages and reads the same web configuration file."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.web.config import read
from tests.support.process import free_port, wait_for
from tests.support.web import SLOW_SESAME, Authority, FakePages, serving, settle, write

CONFIG = f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS13
  cipher_suites:
    - TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
  prefer_server_cipher_suites: false
http_server_config:
  http2: false
  headers:
    X-Frame-Options: sameorigin
basic_auth_users:
  prometheus: {SLOW_SESAME}
"""


class ScrapingPrometheus:
    """API of a running Prometheus."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> bytes:
        """Return the body of a page. Raises `OSError` for a status other than 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                raise OSError(response.status)
            return response.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Return whether Prometheus is ready."""
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def query(self, text: str) -> dict[str, float]:
        """Return the value of each series by its job."""
        result = json.loads(self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': text})}"))["data"]["result"]
        return {series["metric"]["job"]: float(series["value"][1]) for series in result}

    def last_errors(self) -> dict[str, str]:
        """Return the error of the last scrape by job."""
        targets = json.loads(self.get("/api/v1/targets"))["data"]["activeTargets"]
        return {target["labels"]["job"]: target["lastError"] for target in targets}


@contextmanager
def prometheus(directory: Path, jobs: Mapping[str, Mapping[str, Any]], target: str) -> Iterator[ScrapingPrometheus]:
    """Yield a Prometheus that scrapes `target` twice a second with each of these jobs."""
    common = {"scheme": "https", "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [{"job_name": name, **common, **settings} for name, settings in jobs.items()],
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(config))  # JSON is YAML, too
    port = free_port()
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            server = ScrapingPrometheus(port)
            wait_for(server.is_ready, "Prometheus is ready", 30)
            yield server
        finally:
            process.kill()
            process.wait()


@pytest.mark.system
@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_with_tls_a_certificate_and_a_password(tmp_path: Path) -> None:
    """Jobs without one of them report the denial, and scrapes go on after a rotation of the server certificate."""
    authority = Authority(tmp_path)
    settle(*authority.issue("server", "127.0.0.1"))
    certificate = authority.issue("prometheus")
    tls = {"ca_file": str(authority.file), "cert_file": str(certificate[0]), "key_file": str(certificate[1])}
    password = {"username": "prometheus", "password": "open sesame"}
    jobs = {
        "right": {"tls_config": tls, "basic_auth": password},
        "wrong_password": {"tls_config": tls, "basic_auth": password | {"password": "wrong"}},
        "no_password": {"tls_config": tls},
        "no_certificate": {"tls_config": {"ca_file": str(authority.file)}, "basic_auth": password},
        "unknown_authority": {"basic_auth": password},
    }
    pages = FakePages()
    with (
        serving(pages, write(tmp_path / "web.yml", CONFIG)) as server,
        prometheus(tmp_path, jobs, f"127.0.0.1:{server.port}") as scraping,
    ):
        wait_for(lambda: scraping.query("up").get("right") == 1, "the first scrape", 20)
        wait_for(lambda: len(scraping.query("up")) == len(jobs), "a scrape of each job", 20)
        assert scraping.query("up") == {name: float(name == "right") for name in jobs}
        errors = scraping.last_errors()
        assert errors["right"] == ""
        assert all("401" in errors[name] for name in ("wrong_password", "no_password"))
        assert "403" in errors["no_certificate"]
        assert "certificate" in errors["unknown_authority"]
        settle(*authority.issue("server", "127.0.0.1"))
        before = pages.renderings
        wait_for(lambda: pages.renderings >= before + 4, "four more scrapes", 20)
        assert scraping.query("min_over_time(up{job='right'}[5s])") == {"right": 1}


@pytest.mark.system
@pytest.mark.needs("promtool")
def test_promtool_accepts_the_same_file(tmp_path: Path) -> None:
    """The file that the server reads has the format of Prometheus."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    path = write(tmp_path / "web.yml", CONFIG)
    assert read(path).users.keys() == {"prometheus"}
    checked = subprocess.run(
        ["promtool", "check", "web-config", str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert (checked.returncode, checked.stderr) == (0, f"{path} SUCCESS\n")
