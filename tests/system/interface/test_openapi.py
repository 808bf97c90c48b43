"""Schemathesis generates valid and invalid requests from the description, and compares each response with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.reporting.overview import EndpointState
from tests.support.checkout import ROOT
from tests.support.overviews import (
    FakeReports,
    make_endpoint,
    make_environment,
    make_failed_environment,
    make_incident,
    make_overview,
)
from tests.support.process import clean
from tests.support.web import FakePages, serving

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

INSTALL_TIMEOUT = 120.0  # seconds
# OpenAPI cannot express that one parameter must be greater than another.
CONFIGURATION = """
[[operations]]
include-name = "GET /api/v1/availability"
checks.positive_data_acceptance.enabled = false
"""


@pytest.fixture(scope="session")
def schemathesis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the pinned set in a venv; return the path of the program."""
    directory = tmp_path_factory.mktemp("interface")
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    install = [*pip, "--no-compile", "--require-hashes", "--no-deps", "-r", "requirements/interface.txt"]
    for command in ([sys.executable, "-m", "venv", "--without-pip", str(directory)], install):
        subprocess.run(command, cwd=ROOT, check=True, timeout=INSTALL_TIMEOUT)
    return directory / "bin" / "schemathesis"


def test_every_response_is_as_described(schemathesis: Path, tmp_path: Path) -> None:
    """Status, content type, headers and content agree, no request is an error of the server, and 405 has Allow."""
    starting = make_endpoint(state=EndpointState.STARTING, since=None, last=None, next_attempt=None)
    pages = FakePages()
    environments = (make_failed_environment("prod"), make_environment("uat", ping=starting))
    incidents = [make_incident(), make_incident(16)]
    pages.reports = FakeReports(make_overview(*environments, incidents=tuple(incidents)), incidents)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    with serving(pages) as server:
        url = f"http://127.0.0.1:{server.port}/api/v1/openapi.json"
        arguments = ["run", "--max-examples=30", "--seed=1", "--no-color", url]
        command = [str(schemathesis), *arguments]
        ended = subprocess.run(command, cwd=tmp_path, env=clean({}), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 selected / 5 total" in ended.stdout  # all but the description itself
