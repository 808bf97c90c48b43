"""The versions of Prometheus and Alertmanager with which the tests of this folder run."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.system.conftest import Programs
from tests.system.prometheus.versions import TRIED

pytestmark = [pytest.mark.system, pytest.mark.needs("prometheus", "prometheus-alertmanager")]


@pytest.mark.parametrize("program", TRIED)
def test_the_programs_have_the_documented_versions(program: str, programs_of_debian: Programs) -> None:
    """A release of Debian has this minor version, and testing this one or a newer one."""
    command = [programs_of_debian.path(program), "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    match = re.search(r"version (\d+)\.(\d+)\.", output.stdout + output.stderr)
    assert match, output
    version, documented = (int(match[1]), int(match[2])), TRIED[program][programs_of_debian.release]
    assert version == documented or (programs_of_debian.release == "testing" and version > documented)
