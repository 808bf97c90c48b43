"""Logins under any sequence of responses, restarts, reloads and operator's attempts that hypothesis finds.

`MACHINE_EXAMPLES=5000 pytest tests/monitoring/test_login_machine.py` searches longer, with another seed in each run.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from monitor.model import FieldNames, Reason
from monitor.monitoring import state
from monitor.tigr.responses import parse_retry_after
from tests.support.login_responses import LOGIN_RESPONSES, PING_RESPONSES
from tests.support.results import vary
from tests.support.virtual_monitor import ADDRESSES, VirtualMonitor, settings
from tests.support.virtual_time import CREDENTIALS, DAY, HOUR

pytestmark = [
    pytest.mark.once,
    pytest.mark.no_cover,  # it would take most of the time, and the tests of the modules execute the same lines
]

EXAMPLES = int(
    os.environ.get("MACHINE_EXAMPLES", "0")
)  # not TIGR_…: the program rejects unknown variables with that prefix
CI_EXAMPLES, STEPS = 200, 30  # the faults that were tried were found in the first 56 examples
LONG_TIMEOUT = 3600  # seconds
ATTEMPTS_BEFORE_RETRY = 2  # requests: the first login, and the operator's attempt
RETRY_AFTER = [None, 0.0, 1.0, 900.0]  # seconds, as `parse_retry_after` returns them
GRANT_DEADLINE = 900.0  # seconds: the longest pause after a failure, apart from rejected credentials
SLACK = 30.0  # seconds, for exchanges and runs of the other environment
TMPFS = Path("/dev/shm")  # noqa: S108 - for speed: a disk takes 2 ms to replace a file
PASSWORDS = ["old password", "new password"]

names_or_none = st.sampled_from([None, *FieldNames])
limits = st.tuples(st.integers(2, 5), names_or_none) | st.tuples(st.just(1), st.sampled_from(FieldNames))
ping_intervals = st.sampled_from([5.0, 29.999, 30.0, 60.0, 300.0, 400.0])
auth_intervals = st.sampled_from([5.0, 30.0, 60.0, 300.0, 900.0, 3600.0])
# Refusals and requests to slow down open the deeper states, so they are drawn more often.
FREQUENT = ["401", "401 invalid_grant", "400", "429", "timeout"]
responses = st.sampled_from([*sorted(LOGIN_RESPONSES), *(4 * FREQUENT)])
retry_after = st.sampled_from(RETRY_AFTER)
spans = st.sampled_from([1.0, 5.0, 60.0, 300.0, 1200.0, HOUR, 6 * HOUR, DAY, 3 * DAY])
steps_of_clock = st.sampled_from([-DAY, -HOUR, -60.0, 60.0, HOUR, DAY])
which = st.sampled_from([0, -1])


class LoginMachine(RuleBasedStateMachine):
    """One or two environments with one login state."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=TMPFS if TMPFS.is_dir() else None))
        self.monitor: VirtualMonitor

    def teardown(self) -> None:
        """Remove the state directory."""
        if hasattr(self, "monitor"):
            self.monitor.state.close()
        shutil.rmtree(self.directory)

    @initialize(
        limit=limits,
        ping=ping_intervals,
        auth=auth_intervals,
        two=st.booleans(),
        documented=responses,
        rfc6749=responses,
    )
    def start(
        self,
        limit: tuple[int, FieldNames | None],
        ping: float,
        auth: float,
        two: bool,  # noqa: FBT001
        documented: str,
        rfc6749: str,
    ) -> None:
        """Start the monitor, with servers whose first responses need not be grants."""
        common = settings(rejected_logins=limit[0], form_fields=limit[1], ping_interval=ping, auth_interval=auth)
        settings_of_all = [common, replace(common, name="uat")] if two else [common]
        self.monitor = VirtualMonitor(self.directory, settings_of_all)
        self.set_login_responses(documented, rfc6749, None)

    # Time.

    @rule(seconds=spans)
    def run(self, seconds: float) -> None:
        """Advance the clock."""
        self.monitor.run(seconds)

    @rule(runs=st.integers(1, 6))
    def run_until_login(self, runs: int) -> None:
        """Advance the clock until `runs` more login requests were sent, or by two days."""
        before = self.monitor.logins
        self.monitor.run(2 * DAY, lambda: self.monitor.logins >= before + runs)

    @rule(pause=st.sampled_from([1.0, 1200.0, DAY]))
    def run_operators_attempt(self, pause: float) -> None:
        """Advance the clock, reload, and run the login that it allows and the next ones."""
        self.monitor.run(pause)
        self.reload()
        self.run_until_login(3)

    @rule(seconds=spans)
    def suspend(self, seconds: float) -> None:
        """Suspend the machine: no run comes."""
        self.monitor.now += seconds

    @rule(step=steps_of_clock)
    def step_clock(self, step: float) -> None:
        """Step the wall clock while the monitor runs."""
        self.monitor.step_clock(step)

    # Servers.

    @rule(documented=responses, rfc6749=responses, retry_after=retry_after)
    def set_login_responses(self, documented: str, rfc6749: str, retry_after: float | None) -> None:
        """Change the responses to logins, for each of the field names."""
        chosen = {FieldNames.DOCUMENTED: documented, FieldNames.RFC6749: rfc6749}
        for names, response in chosen.items():
            self.monitor.servers.login[names] = vary(LOGIN_RESPONSES[response], retry_after=retry_after)

    @rule(response=responses, retry_after=retry_after)
    def set_both_login_responses(self, response: str, retry_after: float | None) -> None:
        """Change the responses to logins with any field names."""
        self.set_login_responses(response, response, retry_after)

    @rule(response=st.sampled_from(sorted(PING_RESPONSES)), retry_after=retry_after)
    def set_ping_response(self, response: str, retry_after: float | None) -> None:
        """Change the response to pings."""
        self.monitor.servers.ping = vary(PING_RESPONSES[response], retry_after=retry_after)

    @rule(seconds=st.sampled_from([1.0, 30.0, 300.0, HOUR, DAY]))
    def set_lifetime(self, seconds: float) -> None:
        """Change the lifetime of tokens."""
        self.monitor.servers.lifetime = seconds

    @rule()
    def revoke_tokens(self) -> None:
        """Reject every token that has been granted."""
        self.monitor.servers.revoked_before = self.monitor.now

    @rule(reachable=st.booleans())
    def set_token_host(self, reachable: bool) -> None:  # noqa: FBT001
        """Let the checks of the token host fail, or succeed."""
        self.monitor.servers.host_reason = None if reachable else Reason.CONNECT

    # Process and operator.

    @rule(pause=st.sampled_from([0.0, 1.0, 60.0, DAY]), step=st.just(0.0) | steps_of_clock)
    def restart(self, pause: float, step: float) -> None:
        """Restart the monitor, with a step of the wall clock meanwhile."""
        self.monitor.restart(pause, step)

    @rule(times=st.integers(1, 6))
    def kill_in_next_logins(self, times: int) -> None:
        """Kill the process in its next logins; each time it is started again."""
        self.monitor.servers.kills = times

    @rule()
    def race(self) -> None:
        """Run the login of another environment first from now on."""
        self.monitor.racing = True

    @rule(environment=which)
    def signal(self, environment: int) -> None:
        """Ask for a login, as SIGUSR1 does."""
        chosen = self.monitor.environments[environment]
        if chosen.environment.logins.request_after_signal():
            self.monitor.ledger.operator(chosen.settings)

    @rule()
    def reload(self) -> None:
        """Reload the settings, whether or not they changed, as SIGHUP does."""
        for environment in self.monitor.environments:
            environment.use(environment.settings)
        for environment in self.monitor.environments:
            if environment.environment.logins.request_after_reload():
                self.monitor.ledger.operator(environment.settings)

    @rule(environment=which, password=st.sampled_from(PASSWORDS))
    def change_password(self, environment: int, password: str) -> None:
        """Reload with other credentials of one environment."""
        self._change(environment, credentials=replace(CREDENTIALS, password=password))

    @rule(environment=which, address=st.sampled_from(sorted(ADDRESSES)))
    def move(self, environment: int, address: str) -> None:
        """Reload with another address of one environment."""
        token_url, api_url = ADDRESSES[address]
        self._change(environment, token_url=token_url, api_url=api_url)

    @rule(environment=which, ping=ping_intervals, auth=auth_intervals)
    def change_intervals(self, environment: int, ping: float, auth: float) -> None:
        """Reload with other intervals of one environment."""
        self._change(environment, ping_interval=ping, auth_interval=auth)

    @rule(limit=limits)
    def change_limit(self, limit: tuple[int, FieldNames | None]) -> None:
        """Reload with another limit of rejected logins, and other pinned field names."""
        for environment in self.monitor.environments:
            environment.settings = replace(environment.settings, rejected_logins=limit[0], form_fields=limit[1])
        self.reload()

    def _change(self, environment: int, **changes: object) -> None:
        chosen = self.monitor.environments[environment]
        chosen.use(replace(chosen.settings, **changes))  # type: ignore[arg-type]
        self.reload()

    # Progress.

    @precondition(lambda self: not self.monitor.servers.kills)
    @rule()
    def recover(self) -> None:
        """Repair the servers: each environment logs in again, unless its logins are stopped."""
        self.monitor.servers.login = dict.fromkeys(FieldNames, LOGIN_RESPONSES["grant"])
        for environment in self.monitor.environments:
            logins, settings = environment.environment.logins, environment.settings
            ledger = self.monitor.ledger.environment(settings.name)
            start = ledger.last_start
            if logins.suppressed_for == float("inf"):
                continue
            deadline = (
                logins.suppressed_for + max(settings.auth_interval, GRANT_DEADLINE + settings.ping_interval) + SLACK
            )
            self._run_until_start(ledger.last_start, environment.settings.name, deadline)
            assert ledger.last_start > start, f"(f) {settings.name} did not log in within {deadline} s"

    def _run_until_start(self, start: float, name: str, deadline: float) -> None:
        """Run until the environment logs in; the other one may use up the logins of a step."""
        end = self.monitor.now + deadline
        while self.monitor.now < end and self.monitor.ledger.environment(name).last_start == start:
            self.monitor.run(end - self.monitor.now, lambda: self.monitor.ledger.environment(name).last_start != start)

    @invariant()
    def keeps_every_rule(self) -> None:
        """No request broke a rule of the ledger."""
        broken = next(iter(self.monitor.ledger.broken), None) if hasattr(self, "monitor") else None
        assert broken is None, broken


PROFILE = hypothesis_settings(
    max_examples=EXAMPLES or CI_EXAMPLES,
    stateful_step_count=STEPS,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(LONG_TIMEOUT if EXAMPLES else 600)
def test_no_sequence_of_events_breaks_a_rule_of_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rate, limit of rejected credentials, requests per run, stops, secrecy of tokens and progress always hold."""
    monkeypatch.setattr(state, "_ROUNDS", 1)  # 30 ms each
    monkeypatch.setattr("secrets.token_hex", lambda size: "5a" * size)  # one salt, so that failures are reproducible
    monkeypatch.setattr("os.fsync", lambda _number: None)  # only processes fail here, and no machine
    sys.stdout.write(f"To search longer: MACHINE_EXAMPLES=5000 pytest {Path(__file__).name}\n")
    run_state_machine_as_test(LoginMachine, settings=PROFILE)


def test_a_retry_of_an_operators_attempt_is_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run after a failed attempt of an operator sends one request, because both field names were refused."""
    monkeypatch.setattr(state, "_ROUNDS", 1)
    machine = LoginMachine()
    try:
        machine.start((1, FieldNames.DOCUMENTED), 30.0, 30.0, two=False, documented="401 invalid_grant", rfc6749="400")
        machine.run(60.0)
        machine.change_limit(limit=(4, None))
        machine.run(DAY)
        assert machine.monitor.logins > ATTEMPTS_BEFORE_RETRY
        machine.keeps_every_rule()
    finally:
        machine.teardown()


@given(st.integers(0, 10**9), st.integers(0, 4_000_000_000))
def test_a_date_that_has_passed_asks_for_no_pause(age: int, now: int) -> None:
    """A Retry-After date before now is 0 seconds, never less."""
    moment = max(0, now - age)
    assert parse_retry_after(formatdate(moment, usegmt=True), float(now)) == 0.0
