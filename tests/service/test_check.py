"""The check through the daemon: its environments, their credentials and limits, and one event per step."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from monitor.config.settings import load
from monitor.monitoring.state import State
from monitor.reporting.check_events import CheckError, CheckEvent
from monitor.service.check import CheckOptions
from monitor.service.check_stream import CheckInProgressError, MonitoredChecks, events_of
from monitor.service.supervisor import Supervisor
from monitor.service.trust import load_trust
from monitor.simulator import Simulator
from monitor.simulator.faults import Certificate, CertificateVariant, Refuse, Status
from tests.support.canaries import CANARIES, leaks, simulator_with_canaries, values
from tests.support.harness import value
from tests.support.process import PATIENCE, wait_for

WRONG = {"TIGR_ENVIRONMENTS__PROD__PASSWORD": CANARIES.password}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments with canaries as secrets."""
    with simulator_with_canaries() as running:
        yield running


class Daemon:
    """The environments of a daemon, whose scheduler does not run."""

    def __init__(self, simulator: Simulator, changes: Mapping[str, str] | None = None) -> None:
        settings = load(simulator.settings() | dict(changes or {})).settings
        self.supervisor = Supervisor(settings, load_trust(settings).contexts, State(None))
        self.checks = MonitoredChecks(self.supervisor.checked_environments)

    def check(self, *names: str, ping_only: bool = False) -> list[CheckEvent]:
        """Run a check to its end and return its events."""
        return list(self.checks.start(names, CheckOptions(ping_only=ping_only)))

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series."""
        return value(self.supervisor.metrics("")[1].decode(), name, **labels)


def of(events: Sequence[CheckEvent], event: str) -> list[dict[str, Any]]:
    """Return the events of one type."""
    return [dict(each) for each in events if each["event"] == event]


def outline(events: Sequence[CheckEvent]) -> list[str]:
    """Return types, endpoints and phases of the events, in order."""
    return [" ".join(str(each.get(key, "")) for key in ("event", "endpoint", "phase")).strip() for each in events]


def test_each_step_of_login_and_ping_is_an_event(simulator: Simulator) -> None:
    """The steps come in their order, and the end reports success."""
    events = Daemon(simulator).check("prod")
    steps = ["resolve", "connect", "tls", "processing"]
    assert outline(events) == [
        "request token", *(f"step  {phase}" for phase in steps), "response token", "result token",
        "request ping", *(f"step  {phase}" for phase in steps), "response ping", "result ping",
        "end",
    ]  # fmt: skip
    assert of(events, "end") == [{"event": "end", "succeeded": True}]
    assert not leaks(str(events), values(CANARIES))


def test_a_check_counts_in_the_metrics_and_provides_the_current_token(simulator: Simulator) -> None:
    """Its login has the cause `operator`, and its ping is a ping of the environment."""
    daemon = Daemon(simulator)
    daemon.check("prod")
    assert daemon.value("tigr_token_renewals_total", environment="prod", cause="operator") == 1
    assert daemon.value("tigr_up", environment="prod", endpoint="token") == 1
    assert daemon.value("tigr_requests_total", environment="prod", endpoint="ping", outcome="success") == 1
    assert daemon.supervisor.checked_environments()[0].environment.token is not None


def test_a_second_check_keeps_the_interval_and_pings_with_the_current_token(simulator: Simulator) -> None:
    """It reports that no login was sent and for how long the token is valid; the check succeeds."""
    daemon = Daemon(simulator)
    daemon.check("prod")
    events = daemon.check("prod")
    (not_sent,) = of(events, "not_sent")
    assert not_sent["text"] == "the last login began less than TIGR_PING_INTERVAL (30s) ago"
    assert [note["name"] for note in of(events, "note")] == ["Current token"]
    assert [result["endpoint"] for result in of(events, "result")] == ["ping"]
    assert of(events, "end")[0]["succeeded"]
    assert simulator.log.requests("prod", "token") == 1


def test_the_ping_alone_needs_no_login(simulator: Simulator) -> None:
    """With a token, only the ping is sent; without one, the failure is reported and no login is sent."""
    daemon = Daemon(simulator)
    events = daemon.check("prod", ping_only=True)
    assert [result["exchange"]["reason"] for result in of(events, "result")] == ["unauthorized", "no_token"]
    assert not of(events, "end")[0]["succeeded"]
    daemon.check("prod")
    events = daemon.check("prod", ping_only=True)
    assert outline(events)[:2] == ["note", "request ping"]
    assert of(events, "end")[0]["succeeded"]
    assert simulator.log.requests("prod", "token") == 1


def test_a_rejected_password_is_not_sent_again(simulator: Simulator) -> None:
    """The second check names the attempts left and the ways to allow one."""
    simulator.environment("prod").change_password()
    daemon = Daemon(simulator, WRONG)
    first = daemon.check("prod")
    assert [result["exchange"]["reason"] for result in of(first, "result")][:2] == ["unauthorized"] * 2
    sent = simulator.log.requests("prod", "token")
    second = daemon.check("prod")
    assert simulator.log.requests("prod", "token") == sent
    login = of(second, "result")[0]["exchange"]
    assert login["detail"].startswith("not sent: these credentials were rejected before")
    assert login["attempts_left"] == 1
    assert login["responsible"] == "credentials"
    assert "a reload (SIGHUP, once per rejection) or SIGUSR1 allows one login" in login["next"]
    assert not of(second, "note")  # the daemon counts the requests, so nothing is lost at the end of the check
    assert not of(second, "end")[0]["succeeded"]


def test_a_login_that_failed_for_another_reason_waits_for_its_backoff(simulator: Simulator) -> None:
    """The check fails, because the last login failed."""
    simulator.environment("prod").token_faults.set(Status(503, headers={"Retry-After": "600"}))
    daemon = Daemon(simulator)
    daemon.check("prod")
    events = daemon.check("prod")
    (not_sent,) = of(events, "not_sent")
    assert not_sent["text"].startswith("the last login failed, and the next one is sent after ")
    assert not of(events, "end")[0]["succeeded"]
    assert simulator.log.requests("prod", "token") == 1


def test_the_evidence_is_about_the_open_incident(simulator: Simulator) -> None:
    """Before an incident opens, it is about the failure of the check."""
    simulator.environment("prod").api_faults.set(Status(503))
    daemon = Daemon(simulator)
    texts = [of(daemon.check("prod"), "evidence")[0]["text"] for _ in range(3)]
    assert ["1 server_error" in text for text in texts] == [True, True, False]
    assert "3 server_error" in texts[-1]


def test_pings_that_the_server_limits_are_not_sent(simulator: Simulator) -> None:
    """The check names the time of the next one."""
    simulator.environment("prod").api_faults.set(Status(429, headers={"Retry-After": "600"}))
    daemon = Daemon(simulator)
    daemon.check("prod")
    (login, ping) = of(daemon.check("prod"), "not_sent")
    assert (login["endpoint"], ping["endpoint"]) == ("token", "ping")
    assert ping["text"].startswith("the server limits the rate of requests; the next ping is sent after ")
    assert simulator.log.requests("prod", "api") == 1


def test_the_expiry_of_a_certificate_that_failed_verification_is_an_event(simulator: Simulator) -> None:
    """It comes from a connection of its own, after the Result."""
    simulator.environment("prod").token_faults.set(Certificate(CertificateVariant.EXPIRED))
    events = Daemon(simulator).check("prod")
    (seen,) = of(events, "certificate")
    assert (seen["endpoint"], seen["certificate_expires_at"][-1]) == ("token", "Z")
    failed = of(events, "response")[0]["exchange"]
    assert (failed["reason"], failed["failed_phase"]) == ("certificate", "tls")


def test_all_environments_are_checked_without_a_name(simulator: Simulator) -> None:
    """A failure of one is the failure of the check."""
    simulator.environment("uat").token_faults.set(Refuse())
    events = Daemon(simulator).check()
    assert list(dict.fromkeys(each["environment"] for each in of(events, "result"))) == ["prod", "uat"]
    assert not of(events, "end")[0]["succeeded"]


def test_an_unknown_name_starts_nothing(simulator: Simulator) -> None:
    """The message lists the environments."""
    daemon = Daemon(simulator)
    with pytest.raises(CheckError, match="unknown environment prud; the environments are prod, uat"):
        daemon.check("prud")
    daemon.check("prod")


def test_one_check_runs_at_a_time_and_ends_without_a_reader(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one is refused until the first has ended, also if nothing reads the events of the first."""
    daemon, may_end = Daemon(simulator), threading.Event()
    prod = daemon.supervisor.checked_environments()[0].environment
    monkeypatch.setattr(prod, "run_login_for_check", lambda: may_end.wait(PATIENCE))
    daemon.checks.start(["prod"], CheckOptions())
    with pytest.raises(CheckInProgressError):
        daemon.check("uat")
    assert simulator.log.requests("uat", "token") == 0
    may_end.set()

    def is_free() -> bool:
        try:
            return bool(daemon.check("uat"))
        except CheckInProgressError:
            return False

    wait_for(is_free, "the first check has ended")
    assert simulator.log.requests("uat", "token") == 1


def test_an_exception_of_a_check_reaches_its_reader() -> None:
    """The stream does not end as if the check were complete."""

    def fail(_emit: object) -> None:
        raise ValueError("internal")

    released: list[int] = []
    with pytest.raises(ValueError, match="internal"):
        list(events_of(fail, lambda: released.append(1)))
    assert released == [1]
