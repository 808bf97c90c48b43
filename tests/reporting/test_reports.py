"""The reports about all environments, made from Results and the live state of the monitor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from monitor.config.maintenance import MaintenanceWindow
from monitor.config.settings import EnvironmentSettings
from monitor.model import Endpoint, Reason, Responsibility, Result, Role, Token
from monitor.reporting.overview import (
    EndpointOverview,
    EndpointState,
    EnvironmentOverview,
    Failure,
    Maintenance,
    Reports,
)
from monitor.reporting.recorder import Recorder
from monitor.reporting.reports import LiveReports
from monitor.reporting.uptime_sums import DAY, HOUR
from tests.reporting.test_metrics import SETTINGS
from tests.support.journals import INTERVAL, START, JournalTime
from tests.support.process import wait_for
from tests.support.results import make_result, vary

LOGIN = make_result(Endpoint.TOKEN, status=200, certificate_expiry=START + 90 * DAY, chain_expiry=START + 60 * DAY)
PONG = make_result(Endpoint.PING, status=200, clock_offset=0.25)
UNAVAILABLE = make_result(reason=Reason.SERVER_ERROR, status=503, detail="out of order", submission_id="sim-1")
REJECTED = make_result(
    Endpoint.TOKEN,
    reason=Reason.UNAUTHORIZED,
    status=401,
    detail="invalid login id or password",
    refused=True,
    names_credentials=True,
    credentials_rejected=True,
    attempts_left=2,
    suppressed_until=START + 1200,
)


@dataclass
class FakeEnvironment:
    """State of an environment that a test sets."""

    credentials_rejected: bool = False
    attempts_left: int = 3
    token: Token | None = field(default_factory=lambda: Token("secret", 600.0, 1400.0, START + 400))
    left: float | None = 400.0
    waits: dict[Endpoint, float] = field(default_factory=lambda: dict.fromkeys(Endpoint, 0.0))

    def headroom(self) -> float | None:
        """Return the seconds until the token expires."""
        return self.left

    def backoff(self, endpoint: Endpoint) -> float:
        """Return the backoff in seconds."""
        return self.waits[endpoint]


class FakeMonitor:
    """Reports about an environment, and the live state that they read."""

    def __init__(self, directory: Path | None = None, settings: EnvironmentSettings = SETTINGS) -> None:
        self.time = JournalTime("prod", "uat")
        self.settings = {"prod": settings}
        self.environments = {"prod": FakeEnvironment(), "uat": FakeEnvironment()}
        self.recorder = Recorder(self.time, directory, self.time.clock)
        self.recorder.use(settings, None)
        self.texts: list[str] = []
        self.next: float | None = 5.0  # seconds until the next run
        reports: Reports = LiveReports(self.recorder, self, self.time.clock)
        self.reports = reports

    def live(self) -> Mapping[str, tuple[EnvironmentSettings, FakeEnvironment]]:
        """Return settings and state of the environments."""
        return {name: (settings, self.environments[name]) for name, settings in self.settings.items()}

    def next_run(self, _environment: str, _endpoint: Endpoint) -> float | None:
        """Return the time of the next run."""
        return None if self.next is None else self.time.clock.now() + self.next

    def problems(self) -> list[str]:
        """Return the problems of the monitor itself."""
        return self.texts

    def add(self, name: str) -> None:
        """Add an environment."""
        self.settings[name] = replace(SETTINGS, name=name)
        self.recorder.use(self.settings[name], None)

    def record(self, *results: Result) -> None:
        """Record probes, one per interval."""
        for result in results:
            self.recorder.record(self.time.probe(result))
            self.time.elapsed += INTERVAL - 0.5

    @property
    def prod(self) -> EnvironmentOverview:
        """The state of prod."""
        return self.reports.overview().environments[0]


@pytest.fixture
def monitor() -> FakeMonitor:
    """Return the reports of a monitor that has just started."""
    return FakeMonitor()


def failure_of(endpoint: EndpointOverview) -> Failure:
    """Return the failure of an endpoint that fails."""
    assert endpoint.failure is not None
    return endpoint.failure


def test_a_monitor_that_starts_is_not_well_yet(monitor: FakeMonitor) -> None:
    """Nothing is known."""
    overview = monitor.reports.overview()
    assert (overview.is_well, overview.sentence) == (False, "prod: starting, no probe has ended yet")
    prod = monitor.prod
    assert prod.login.state is prod.ping.state is EndpointState.STARTING
    assert (prod.ping.since, prod.ping.last, prod.ping.failure, list(prod.ping.history)) == (None, None, None, [])
    assert monitor.reports.evidence() is None
    assert list(monitor.reports.incidents()) == []


def test_a_well_environment_has_its_facts(monitor: FakeMonitor) -> None:
    """Hosts, times, certificates, token and clock."""
    monitor.record(LOGIN, PONG)
    overview = monitor.reports.overview()
    assert (overview.is_well, overview.sentence) == (True, "prod: logins and pings work")
    assert (overview.started_at, overview.time) == (START, START + 2 * INTERVAL)
    prod = monitor.prod
    assert (prod.login.host, prod.ping.host) == ("login.example", "api.example:8443")
    assert (prod.login.since, prod.ping.since) == (START + 0.5, START + INTERVAL + 0.5)
    assert (prod.login.certificate_expiry, prod.login.chain_expiry) == (START + 90 * DAY, START + 60 * DAY)
    assert (prod.token_expiry, prod.token_lifetime, prod.clock_offset) == (START + 400, 600.0, 0.25)
    assert (prod.ping.next_attempt, prod.ping.delay) == (START + 2 * INTERVAL + 5.0, "")
    assert (prod.credentials_rejected, prod.attempts_left, prod.api_open) == (False, None, False)
    assert prod.ping.last is not None
    assert prod.ping.last.status == 200
    assert [record.started_at for record in prod.ping.history] == [START + INTERVAL]
    assert prod.ping.uptimes[0].observed == pytest.approx(INTERVAL)
    assert prod.ping.incident is None


def test_a_failing_ping_is_explained(monitor: FakeMonitor) -> None:
    """The step, the responses, the party, the meaning and the ticket."""
    monitor.record(LOGIN, PONG, UNAVAILABLE, UNAVAILABLE)
    assert failure_of(monitor.prod.ping).ticket is None  # no incident is open
    monitor.record(UNAVAILABLE)
    overview = monitor.reports.overview()
    assert overview.sentence == "prod: pings have failed since 08:00 UTC (server_error: the vendor's API); logins work"
    assert not overview.is_well
    ping = monitor.prod.ping
    failure = failure_of(ping)
    assert (ping.state, ping.since, ping.incident) == (EndpointState.DOWN, START + 2 * INTERVAL, 1)
    assert failure.sent == "GET /ClientAPI/api/system/ping HTTP/1.1 to api.example:8443"
    assert failure.received == "status 503, out of order"
    assert (failure.responsibility, failure.submission_id) == (Responsibility.API, "sim-1")
    assert "reports an internal error" in failure.means
    assert failure.ticket is not None
    assert failure.ticket == monitor.reports.evidence()
    monitor.record(vary(UNAVAILABLE, submission_id="sim-2"))
    assert "sim-2" in (failure_of(monitor.prod.ping).ticket or "")  # made again after each failure
    assert [each.number for each in overview.incidents] == [1]
    monitor.record(PONG)
    assert monitor.reports.overview().is_well
    assert monitor.prod.ping.incident is None
    assert "End:          2027-" in (monitor.reports.evidence() or "")


def test_rejected_credentials_have_no_ticket_for_the_vendor(monitor: FakeMonitor) -> None:
    """The sentence says how long pings still work, and the delay why no login comes."""
    monitor.record(LOGIN, PONG, REJECTED)
    prod = monitor.environments["prod"]
    prod.credentials_rejected, prod.attempts_left, prod.waits[Endpoint.TOKEN] = True, 2, 1200.0
    overview = monitor.reports.overview()
    assert overview.sentence == "prod: logins rejected since 08:00 UTC; pings still work for 6 min 40 s"
    login = monitor.prod.login
    assert (monitor.prod.attempts_left, login.next_attempt) == (2, START + 3 * INTERVAL + 1200.0)
    assert "2 more requests may contain them" in login.delay
    assert failure_of(login).responsibility is Responsibility.CREDENTIALS
    assert failure_of(login).ticket is None
    assert (monitor.reports.evidence() or "").startswith("Not for the vendor's support")


def test_stopped_logins_have_no_next_attempt(monitor: FakeMonitor) -> None:
    """The ping without a token belongs to the incident of the login, and to our credentials."""
    prod = monitor.environments["prod"]
    prod.token, prod.left = None, None
    monitor.record(REJECTED, make_result(reason=Reason.NO_TOKEN))
    prod.credentials_rejected, prod.attempts_left, prod.waits[Endpoint.TOKEN] = True, 0, math.inf
    login_part, ping_part = monitor.prod.sentence.split("; ")
    assert login_part == "logins rejected since 08:00 UTC and stopped until an operator acts"
    assert ping_part == "no pings since 08:00 UTC, because there is no token"
    login, ping = monitor.prod.login, monitor.prod.ping
    assert login.next_attempt == math.inf
    assert "logins have stopped" in login.delay
    assert (ping.incident, failure_of(ping).responsibility) == (1, Responsibility.CREDENTIALS)


def test_logins_that_an_earlier_process_has_stopped_are_rejected(monitor: FakeMonitor) -> None:
    """The current process has sent no login."""
    prod = monitor.environments["prod"]
    prod.credentials_rejected, prod.waits[Endpoint.TOKEN], prod.token, prod.left = True, math.inf, None, None
    monitor.recorder.latest.credentials_were_rejected("prod")
    monitor.record(make_result(reason=Reason.NO_TOKEN))
    assert monitor.prod.sentence.startswith("logins rejected and stopped until an operator acts; no pings")
    assert failure_of(monitor.prod.ping).responsibility is Responsibility.CREDENTIALS
    assert not monitor.prod.is_well


@pytest.mark.parametrize(
    "endpoint, reason, text",
    [
        (Endpoint.PING, Reason.RATE_LIMITED, "fewer requests (429)"),
        (Endpoint.TOKEN, Reason.FORBIDDEN, "refuses this client (403)"),
        (Endpoint.TOKEN, Reason.REJECTED_REQUEST, "does not accept the request"),
        (Endpoint.TOKEN, Reason.TIMEOUT, "backoff after a failure (timeout)"),
    ],
)
def test_a_delayed_attempt_has_its_reason(monitor: FakeMonitor, endpoint: Endpoint, reason: Reason, text: str) -> None:
    """Its time is the end of the backoff."""
    monitor.record(make_result(endpoint, reason=reason))
    monitor.environments["prod"].waits[endpoint] = 90.0
    shown = monitor.prod.login if endpoint is Endpoint.TOKEN else monitor.prod.ping
    assert text in shown.delay
    assert shown.next_attempt == START + INTERVAL + 90.0


def test_logins_without_a_response_delay_the_first_one(monitor: FakeMonitor) -> None:
    """An earlier process ended during them."""
    monitor.environments["prod"].waits[Endpoint.TOKEN] = 60.0
    assert "earlier logins got no response" in monitor.prod.login.delay
    monitor.next = None
    assert monitor.prod.login.next_attempt is None


def test_a_failure_of_the_monitor_blames_no_host(monitor: FakeMonitor) -> None:
    """The state is unknown."""
    monitor.record(LOGIN, PONG, make_result(reason=Reason.INTERNAL, detail="no descriptor"))
    prod = monitor.prod
    assert prod.ping.state is EndpointState.UNKNOWN
    assert failure_of(prod.ping).responsibility is Responsibility.MONITOR
    assert prod.sentence == "pings have not been measured since 08:00 UTC (the monitor itself); logins work"


def test_problems_of_the_monitor_are_first(monitor: FakeMonitor) -> None:
    """A well environment does not hide them."""
    monitor.record(LOGIN, PONG)
    monitor.texts.append("the reload failed")
    overview = monitor.reports.overview()
    assert (overview.problems, overview.is_well) == (("the reload failed",), False)
    assert overview.sentence.startswith("The monitor has a problem: the reload failed. prod: ")


def test_an_open_api_is_not_well(monitor: FakeMonitor) -> None:
    """An operator has to inform the vendor."""
    monitor.record(LOGIN, PONG, make_result(role=Role.UNAUTHENTICATED))
    assert (monitor.prod.api_open, monitor.prod.is_well) == (True, False)


def test_windows_of_maintenance_that_have_not_ended_are_listed() -> None:
    """The sentence names the end of the current one."""
    windows = tuple(MaintenanceWindow(START + begin, START + begin + HOUR) for begin in (-2 * HOUR, -60, DAY))
    monitor = FakeMonitor(settings=replace(SETTINGS, maintenance=windows))
    monitor.record(LOGIN, PONG)
    assert monitor.prod.maintenance == tuple(Maintenance(each.begin, each.end) for each in windows[1:])
    assert monitor.prod.sentence == "logins and pings work; planned maintenance until 08:59 UTC"
    assert monitor.prod.is_well


def test_evidence_is_about_the_open_incident_that_began_first(monitor: FakeMonitor) -> None:
    """Else about the most recent one; a number selects any."""
    monitor.record(*[UNAVAILABLE] * 3)
    monitor.record(*[make_result(Endpoint.TOKEN, reason=Reason.SERVER_ERROR)] * 2)
    assert "TIGR Client API ping" in (monitor.reports.evidence() or "")
    assert "login to the TIGR registry" in (monitor.reports.evidence(2) or "")
    monitor.record(PONG)
    assert "login to the TIGR registry" in (monitor.reports.evidence() or "")
    monitor.record(LOGIN)
    assert "login to the TIGR registry" in (monitor.reports.evidence() or "")
    assert monitor.reports.evidence(3) is None


def test_results_are_those_of_the_history(monitor: FakeMonitor) -> None:
    """An unknown environment has none."""
    monitor.record(PONG, UNAVAILABLE)
    records = monitor.reports.results("prod", Endpoint.PING)
    assert records is not None
    assert [record.status for record in records] == [200, 503]
    assert monitor.reports.results("other", Endpoint.PING) is None


def test_an_endpoint_that_moves_starts_again(monitor: FakeMonitor) -> None:
    """Its incident ends; the other endpoint keeps its state."""
    monitor.record(LOGIN, *[UNAVAILABLE] * 3)
    moved = replace(SETTINGS, api_url="https://other.example/ClientAPI")
    monitor.recorder.use(moved, monitor.settings["prod"])
    monitor.settings["prod"] = moved
    assert monitor.prod.ping.state is EndpointState.STARTING
    assert monitor.prod.login.state is EndpointState.UP
    (incident,) = monitor.reports.incidents()
    assert incident.last_observed is not None
    assert "api.example:8443" in (monitor.reports.evidence() or "")


def test_a_removed_environment_leaves_its_incidents(monitor: FakeMonitor) -> None:
    """They are listed, but the environment is not."""
    monitor.add("uat")
    monitor.record(*[replace(UNAVAILABLE, environment="uat")] * 3)
    del monitor.settings["uat"]
    monitor.recorder.remove("uat")
    overview = monitor.reports.overview()
    assert [each.name for each in overview.environments] == ["prod"]
    assert [each.environment for each in overview.incidents] == ["uat"]
    assert monitor.reports.results("uat", Endpoint.PING) is None


# With a state directory.


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[FakeMonitor]:
    """Return the reports of a monitor with a state directory."""
    made = FakeMonitor(tmp_path)
    made.recorder.start()
    wait_for(lambda: made.recorder.journal.is_loaded, "the journal is loaded")
    yield made
    made.recorder.close()


def test_incidents_and_availability_come_from_the_disk(stored: FakeMonitor) -> None:
    """Changes that are not saved yet are part of them."""
    stored.record(PONG, *[UNAVAILABLE] * 3)
    assert [each.number for each in stored.reports.incidents(environment="prod")] == [1]
    assert list(stored.reports.incidents(environment="uat")) == []
    (entry,) = stored.reports.availability(START - HOUR, START + HOUR)
    assert (entry.environment, entry.endpoint, entry.uptime.period) == ("prod", Endpoint.PING, 2 * HOUR)
    assert (entry.uptime.observed, entry.uptime.down) == pytest.approx(stored.time.observed_of("prod", Endpoint.PING))
    stored.recorder.journal._incidents.clear()
    assert "sim-1" in (stored.reports.evidence(1) or "")
    assert stored.reports.evidence(2) is None


def test_an_outage_that_outlasts_a_restart_has_its_begin(tmp_path: Path) -> None:
    """The page shows since when, although this process has seen no success."""
    before = FakeMonitor(tmp_path)
    before.recorder.start()
    before.record(PONG, *[UNAVAILABLE] * 3)
    wait_for(lambda: before.recorder.journal.is_loaded, "the journal is loaded")
    before.recorder.close()
    after = FakeMonitor(tmp_path)
    after.time.elapsed = 2 * HOUR
    after.recorder.start()
    wait_for(lambda: after.recorder.journal.is_loaded, "the journal is loaded")
    after.record(LOGIN, UNAVAILABLE)
    assert after.prod.ping.since == START + INTERVAL
    assert after.prod.ping.incident == 1
    assert after.time.opened == []
    after.recorder.close()


def test_a_rejection_that_outlasts_a_restart_is_explained(tmp_path: Path) -> None:
    """The current process has sent no login, but a reader needs the response and the next step."""
    before = FakeMonitor(tmp_path)
    before.recorder.start()
    before.record(REJECTED)
    wait_for(lambda: before.recorder.journal.is_loaded, "the journal is loaded")
    before.recorder.close()
    after = FakeMonitor(tmp_path)
    after.time.elapsed = 2 * HOUR
    after.environments["prod"].credentials_rejected = True
    after.recorder.start()
    wait_for(lambda: after.recorder.journal.is_loaded, "the journal is loaded")
    login = after.prod.login
    assert (login.state, login.incident) == (EndpointState.DOWN, 1)
    failure = failure_of(login)
    assert failure.received == "status 401, invalid login id or password"
    assert (failure.responsibility, failure.ticket) == (Responsibility.CREDENTIALS, None)
    assert failure.next_step.startswith("Do not log in by hand")
    after.recorder.close()


def test_a_journal_that_cannot_be_saved_is_a_problem(tmp_path: Path) -> None:
    """The reports go on."""
    monitor = FakeMonitor(tmp_path / "missing")
    monitor.recorder.start()
    wait_for(lambda: monitor.recorder.writer.problem, "the problem is known")
    monitor.record(LOGIN, PONG, *[UNAVAILABLE] * 3)
    overview = monitor.reports.overview()
    assert "the journal cannot be saved" in overview.problems[0]
    assert len(overview.incidents) == 1
    assert len(list(monitor.reports.incidents())) == 1
    monitor.recorder.close()
