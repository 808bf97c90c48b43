"""The reports of a supervisor that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config.settings import load
from monitor.model import Endpoint
from monitor.monitoring.state import State
from monitor.service.supervisor import Supervisor
from monitor.service.trust import load_trust
from monitor.simulator import Simulator
from monitor.simulator.faults import Status
from tests.service.test_daemon import FAST
from tests.support.process import wait_for

pytestmark = pytest.mark.once


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments."""
    with Simulator() as running:
        yield running


@pytest.fixture
def supervisor(simulator: Simulator, tmp_path: Path) -> Iterator[Supervisor]:
    """Yield a supervisor with a state directory, which the test starts."""
    environ = simulator.settings() | FAST | {"TIGR_STATE_DIR": str(tmp_path)}
    settings = load(environ, run_secrets=Path("/nonexistent")).settings
    state = State(tmp_path)
    made = Supervisor(settings, load_trust(settings).contexts, state)
    yield made
    made.stop()
    made.close()
    state.close()


def test_the_reports_follow_the_probes(simulator: Simulator, supervisor: Supervisor) -> None:
    """From the start over a well state to an incident, with the times of the next attempts."""
    reports = supervisor.reports
    assert reports.overview().sentence.startswith("prod: starting")
    supervisor.start()
    wait_for(lambda: reports.overview().is_well, "all environments are well")
    overview = reports.overview()
    assert overview.sentence == "prod, uat: logins and pings work"
    prod = overview.environments[0]
    for endpoint in (prod.login, prod.ping):
        assert endpoint.next_attempt is not None
        assert abs(endpoint.next_attempt - time.time()) < 600
        assert endpoint.certificate_expiry is not None
    assert prod.token_expiry is not None
    simulator.environment("prod").api_faults.set(Status(503))
    wait_for(lambda: reports.overview().environments[0].ping.incident, "an incident is open")
    failing = reports.overview()
    assert failing.sentence.startswith("prod: pings have failed since ")
    assert "(server_error: the vendor's API)" in failing.sentence
    assert [each.environment for each in reports.incidents()] == ["prod"]
    records = reports.results("prod", Endpoint.PING)
    assert records is not None
    assert records[-1].status == 503
    assert "status 503" in (reports.evidence() or "")


def test_a_failed_reload_is_a_problem(supervisor: Supervisor) -> None:
    """The state of the environments is shown, too."""
    supervisor.start()
    supervisor.reload_failed()
    supervisor.web_configuration_read(("wrong",))
    assert supervisor.reports.overview().problems == (
        "the reload failed, so the old settings are in force",
        "the web configuration was not reloaded, so the previous one is in force",
    )
    assert supervisor.next_run("unknown", Endpoint.PING) is None
