"""A real Prometheus scrapes the guarded pages, and reads the same web configuration file."""

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
    """A running one, by its API."""

    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> bytes:
        """The body of a page; `OSError` if there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                raise OSError(response.status)
            return response.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether it is ready."""
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def query(self, text: str) -> dict[str, float]:
        """The value of each series by its job."""
        found = json.loads(self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': text})}"))["data"]["result"]
        return {series["metric"]["job"]: float(series["value"][1]) for series in found}

    def last_errors(self) -> dict[str, str]:
        """Why the last scrape of each job failed."""
        targets = json.loads(self.get("/api/v1/targets"))["data"]["activeTargets"]
        return {target["labels"]["job"]: target["lastError"] for target in targets}


@contextmanager
def prometheus(directory: Path, jobs: Mapping[str, Mapping[str, Any]], target: str) -> Iterator[ScrapingPrometheus]:
    """Prometheus, scraping `target` twice a second by each of these jobs."""
    common = {"scheme": "https", "static_configs": [{"targets": [target]}]}
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [{"job_name": name, **common, **own} for name, own in jobs.items()],
    }
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(config))  # which is YAML, too
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
            found = ScrapingPrometheus(port)
            wait_for(found.answers, "Prometheus is ready", 30)
            yield found
        finally:
            process.kill()
            process.wait()


@pytest.mark.system
@pytest.mark.needs("prometheus")
def test_prometheus_scrapes_with_tls_a_certificate_and_a_password(tmp_path: Path) -> None:
    """While others, who lack one of them, are told so; it goes on over a rotation of the certificate."""
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
        prometheus(tmp_path, jobs, f"127.0.0.1:{server.port}") as found,
    ):
        wait_for(lambda: found.query("up").get("right") == 1, "it is scraped", 20)
        wait_for(lambda: len(found.query("up")) == len(jobs), "everybody has tried", 20)
        assert found.query("up") == {name: float(name == "right") for name in jobs}
        errors = found.last_errors()
        assert errors["right"] == ""
        assert all("401" in errors[name] for name in ("wrong_password", "no_password"))
        assert "403" in errors["no_certificate"]
        assert "certificate" in errors["unknown_authority"]
        settle(*authority.issue("server", "127.0.0.1"))
        before = pages.renderings
        wait_for(lambda: pages.renderings >= before + 4, "scrapes go on", 20)
        assert found.query("min_over_time(up{job='right'}[5s])") == {"right": 1}


@pytest.mark.system
@pytest.mark.needs("promtool")
def test_promtool_takes_the_same_file(tmp_path: Path) -> None:
    """What this server reads is the format, not something like it."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    path = write(tmp_path / "web.yml", CONFIG)
    assert read(path).users.keys() == {"prometheus"}
    checked = subprocess.run(
        ["promtool", "check", "web-config", str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert (checked.returncode, checked.stderr) == (0, f"{path} SUCCESS\n")
