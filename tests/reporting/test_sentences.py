"""The state of environments in sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from monitor.model import Endpoint, Reason
from monitor.reporting.overview import EndpointState, EnvironmentOverview
from monitor.reporting.sentences import EndpointFacts, EnvironmentFacts, is_well, sentence_of, sentence_of_all
from monitor.reporting.words import duration, moment

pytestmark = pytest.mark.once

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC
SINCE = NOW - 3600
LOGIN = EndpointFacts(Endpoint.TOKEN, EndpointState.UP, SINCE, None, "", was_up=True)
PING = replace(LOGIN, endpoint=Endpoint.PING)
WELL = EnvironmentFacts(
    LOGIN, PING, is_rejected=False, is_stopped=False, headroom=400.0, is_open=False, maintenance_until=None, now=NOW
)
LOGIN_DOWN = replace(LOGIN, state=EndpointState.DOWN, reason=Reason.SERVER_ERROR, party="the vendor's login")
PING_DOWN = replace(PING, state=EndpointState.DOWN, reason=Reason.TIMEOUT, party="the vendor's API")
NO_TOKEN = replace(PING_DOWN, reason=Reason.NO_TOKEN, party="our credentials")
LOGIN_STARTING = replace(LOGIN, state=EndpointState.STARTING, since=None, was_up=False)
PING_STARTING = replace(LOGIN_STARTING, endpoint=Endpoint.PING)
PING_UNKNOWN = replace(PING, state=EndpointState.UNKNOWN, reason=Reason.INTERNAL)
STOPPED = (
    "logins rejected since 07:00 UTC and stopped until an operator acts; "
    "no pings since 07:00 UTC, because there is no token"
)


@pytest.mark.parametrize(
    "facts, sentence",
    [
        (WELL, "logins and pings work"),
        (
            replace(WELL, login=LOGIN_DOWN, is_rejected=True),
            "logins rejected since 07:00 UTC; pings still work for 6 min 40 s",
        ),
        (
            replace(WELL, login=LOGIN_DOWN, ping=NO_TOKEN, is_rejected=True, is_stopped=True, headroom=None),
            STOPPED,
        ),
        (  # another environment with the same credentials has seen the rejection; this one logged in an hour ago
            replace(WELL, is_rejected=True),
            "logins rejected; pings still work for 6 min 40 s",
        ),
        (
            replace(WELL, login=LOGIN_STARTING, ping=NO_TOKEN, is_rejected=True, is_stopped=True),
            "logins rejected and stopped until an operator acts; no pings since 07:00 UTC, because there is no token",
        ),
        (
            replace(WELL, login=LOGIN_DOWN),
            "logins have failed since 07:00 UTC (server_error: the vendor's login); pings still work for 6 min 40 s",
        ),
        (
            replace(WELL, login=LOGIN_DOWN, headroom=-3.0),
            (
                "logins have failed since 07:00 UTC (server_error: the vendor's login); "
                "pings worked until the token expired"
            ),
        ),
        (replace(WELL, ping=PING_DOWN), "pings have failed since 07:00 UTC (timeout: the vendor's API); logins work"),
        (
            replace(WELL, ping=replace(PING_DOWN, since=NOW - 86400)),
            "pings have failed since 2027-01-14 08:00 UTC (timeout: the vendor's API); logins work",
        ),
        (
            replace(WELL, login=LOGIN_DOWN, ping=PING_DOWN),
            (
                "logins have failed since 07:00 UTC (server_error: the vendor's login); "
                "pings have failed since 07:00 UTC (timeout: the vendor's API)"
            ),
        ),
        (
            replace(WELL, login=replace(LOGIN_DOWN, was_up=False), ping=PING_STARTING),
            (
                "logins have failed since 07:00 UTC (server_error: the vendor's login, none has succeeded since the "
                "monitor started); "
                "no ping has ended yet"
            ),
        ),
        (
            replace(WELL, login=LOGIN_STARTING, ping=PING_STARTING),
            "starting, no probe has ended yet",
        ),
        (
            replace(WELL, ping=PING_UNKNOWN),
            "pings have not been measured since 07:00 UTC (the monitor itself); logins work",
        ),
        (replace(WELL, is_open=True), "logins and pings work; the Client API accepts unauthenticated requests"),
        (
            replace(WELL, ping=PING_DOWN, maintenance_until=NOW + 3600),
            (
                "pings have failed since 07:00 UTC (timeout: the vendor's API); logins work; "
                "planned maintenance until 09:00 UTC"
            ),
        ),
    ],
)
def test_an_environment_has_one_sentence(facts: EnvironmentFacts, sentence: str) -> None:
    """The failing part comes first."""
    assert sentence_of(facts) == sentence
    assert is_well(facts) == (facts == WELL)


def environment(name: str, sentence: str = "") -> EnvironmentOverview:
    """Return an environment with a sentence; without one it is well."""

    class Fake:
        is_well = not sentence

    fake = Fake()
    vars(fake).update(name=name, sentence=sentence or "logins and pings work")
    return cast("EnvironmentOverview", fake)


@pytest.mark.parametrize(
    "environments, problems, sentence",
    [
        ([environment("prod"), environment("uat")], [], "prod, uat: logins and pings work"),
        (
            [environment("uat"), environment("prod", "pings have failed since 07:00 UTC (dns)")],
            [],
            "prod: pings have failed since 07:00 UTC (dns). uat: logins and pings work",
        ),
        (
            [environment("prod")],
            ["the reload failed"],
            "The monitor has a problem: the reload failed. prod: logins and pings work",
        ),
        (
            [environment(f"e{number}", "pings fail") for number in range(5)]
            + [environment(f"w{number}") for number in range(9)],
            [],
            "5 of 14 environments are not well: e0, e1, e2 and others. 9 environments: logins and pings work",
        ),
        ([], [], ""),
    ],
)
def test_all_environments_have_one_text(
    environments: list[EnvironmentOverview], problems: list[str], sentence: str
) -> None:
    """The monitor's own problem comes first, then the failing environments. Many are counted."""
    assert sentence_of_all(environments, problems) == sentence


@pytest.mark.parametrize(
    "seconds, text",
    [
        (-1, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (400, "6 min 40 s"),
        (3600, "1 h"),
        (7325, "2 h 2 min"),
        (90061, "1 d 1 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    """The largest ones."""
    assert duration(seconds) == text


def test_a_moment_has_its_date_if_it_is_not_today() -> None:
    """Days are those of UTC."""
    assert moment(NOW, NOW) == "08:00 UTC"
    assert moment(NOW - 86400, NOW) == "2027-01-14 08:00 UTC"
