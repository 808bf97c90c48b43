"""Logins and pings that the check of an operator starts: they keep every limit of the environment."""

from __future__ import annotations

import threading
from contextlib import suppress

from monitor.model import Endpoint, FieldNames, LoginCause, Reason, Result, Token
from monitor.monitoring.login import LoginHindrance
from tests.support.results import vary
from tests.support.virtual_time import DOWN, HOUR, PONG, REJECTED, UNAUTHORIZED, VirtualTimeHarness

MINUTE = 60.0


def granting(harness: VirtualTimeHarness, _names: FieldNames) -> Result:
    """Grant a token."""
    return harness.granted()


def test_the_login_of_a_check_is_a_login_of_the_environment() -> None:
    """Its cause is `operator`, its token becomes the current one, and the schedule goes on from it."""
    harness = VirtualTimeHarness(granting)
    harness.run(MINUTE)
    before = harness.environment.token
    harness.environment.run_login_for_check()
    login = harness.results[-1]
    assert (login.endpoint, login.run.cause, login.success) == (Endpoint.TOKEN, LoginCause.OPERATOR, True)
    assert harness.environment.token is login.token is not before
    assert harness.environment.next_login() == harness.now + harness.settings.auth_interval


def test_a_check_sends_no_login_within_a_ping_interval_of_the_last_one() -> None:
    """The hindrance ends when the interval has passed."""
    harness = VirtualTimeHarness(granting)
    harness.run(harness.settings.ping_interval - 1)
    assert harness.environment.logins.hindrance() is LoginHindrance.INTERVAL
    harness.environment.run_login_for_check()
    assert len(harness.logins()) == 1
    harness.now += 2
    assert harness.environment.logins.hindrance() is None
    harness.environment.run_login_for_check()
    assert len(harness.logins()) == 2


def test_a_check_sends_no_rejected_password() -> None:
    """Neither while logins are suppressed, nor after the pause before the scheduled login."""
    harness = VirtualTimeHarness(lambda *_: REJECTED)
    harness.run(MINUTE)
    sent = len(harness.logins())
    assert harness.environment.credentials_rejected
    for _ in range(2):
        assert harness.environment.logins.hindrance() is LoginHindrance.SUPPRESSED
        harness.environment.run_login_for_check()
        harness.now += HOUR
    assert harness.environment.logins.suppressed_for == 0
    assert len(harness.logins()) == sent


def test_a_check_keeps_the_backoff_of_a_failed_login() -> None:
    """A login that failed for another reason is not repeated early."""
    harness = VirtualTimeHarness(lambda *_: vary(DOWN, reason=Reason.RATE_LIMITED, status=429, retry_after=900.0))
    harness.run(MINUTE)
    sent = len(harness.logins())
    assert harness.environment.logins.hindrance() is LoginHindrance.BACKOFF
    harness.environment.run_login_for_check()
    assert len(harness.logins()) == sent


def test_the_rejected_login_of_a_check_is_counted() -> None:
    """It suppresses the following logins, as a scheduled one does."""
    harness = VirtualTimeHarness(granting)
    harness.run(MINUTE)
    harness.login = lambda *_: REJECTED
    harness.environment.run_login_for_check()
    assert harness.environment.credentials_rejected
    assert harness.environment.logins.attempts_left == harness.settings.rejected_logins - 1
    assert harness.environment.logins.hindrance() is LoginHindrance.SUPPRESSED


def test_a_check_of_the_ping_only_never_logs_in() -> None:
    """Neither for a rejected token nor for an expired one."""
    harness = VirtualTimeHarness(granting)
    harness.run(MINUTE)
    sent = len(harness.logins())
    harness.ping_response = lambda *_: UNAUTHORIZED
    harness.environment.run_ping_only()
    assert (harness.results[-1].verdict.reason, harness.results[-1].run.token_rejected) == (Reason.UNAUTHORIZED, True)
    harness.now += 2 * HOUR
    harness.environment.run_ping_only()
    assert harness.results[-1].verdict.reason is Reason.NO_TOKEN
    assert len(harness.logins()) == sent
    harness.environment.run_ping()
    assert len(harness.logins()) == sent + 1


def test_a_ping_of_a_check_and_a_scheduled_one_run_one_after_the_other() -> None:
    """The two would overwrite the state of each other."""
    met = threading.Barrier(2)

    def response(_harness: VirtualTimeHarness, _token: Token | None) -> Result:
        with suppress(threading.BrokenBarrierError):
            met.wait(0.3)
            overlaps.append(1)
        return PONG

    overlaps: list[int] = []
    harness = VirtualTimeHarness(granting)
    harness.run(MINUTE)
    harness.ping_response = response
    runs = [harness.environment.run_ping, harness.environment.run_ping_only]
    threads = [threading.Thread(target=run) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert harness.outcomes(Endpoint.PING)[-2:] == [None, None]
