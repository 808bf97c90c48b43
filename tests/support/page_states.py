"""States of the monitor that the status page has to show, as overviews."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from monitor.model import Endpoint, Reason, Responsibility
from monitor.reporting.overview import EndpointState, Maintenance, Overview
from tests.support.overviews import (
    DAY,
    NOW,
    make_endpoint,
    make_environment,
    make_failed_endpoint,
    make_failed_environment,
    make_failed_probe,
    make_failure,
    make_incident,
    make_overview,
    make_probe,
)

HOSTILE = (
    '<script>document.title = "hostile"</script><img src=x onerror="document.title=1"></section></details>'
    "\u202eesrever\u202c\x00\x07\x1b[31m\ud800 &lt;b&gt; {{ 7 * 7 }} {% raw %} \"'"
)
LONG = HOSTILE + "<b>" + "w" * 30_000 + " \u0301" * 500 + "<i>" * 10_000  # 60 kB with a very long word


def well() -> Overview:
    """Return two environments that work, with an incident that has ended."""
    ended = make_incident(16, begin=NOW - DAY, end=NOW - DAY + 900.0, down=900.0)
    return make_overview(incidents=(ended,))


def login_rejected(attempts_left: int = 2) -> Overview:
    """Return an environment whose credentials are rejected while pings still work."""
    rejected = make_failed_probe(
        reason=Reason.UNAUTHORIZED, status=401, error_code="invalid_grant", detail="Invalid Login ID or Password"
    )
    login = make_failed_endpoint(
        Endpoint.TOKEN,
        last=rejected,
        next_attempt=NOW + 1200.0 if attempts_left else math.inf,
        delay="the credentials were rejected",
        failure=make_failure(
            reason=Reason.UNAUTHORIZED,
            responsibility=Responsibility.CREDENTIALS,
            sent="POST /oauth/token",
            expected="status 200 with a token",
            received="status 401: Invalid Login ID or Password",
            means="The authorization server rejected the user name or the password.",
            next_step="Do not log in by hand. Compare user name and password with the values that the vendor issued.",
            ticket=None,
        ),
    )
    prod = make_environment(
        sentence="logins rejected since 22:56 UTC; pings work for 6 min 40 s more",
        is_well=False,
        login=login,
        credentials_rejected=True,
        attempts_left=attempts_left,
        token_expiry=NOW + 400.0,
    )
    incident = make_incident(
        endpoint=Endpoint.TOKEN,
        responsibility=Responsibility.CREDENTIALS,
        reasons=((Reason.UNAUTHORIZED, 1),),
        first=rejected,
        last=rejected,
        decisions=("22:56:40 UTC: no login before 23:26:40 UTC",),
    )
    return make_overview(prod, make_environment("uat"), incidents=(incident,))


def stopped() -> Overview:
    """Return an environment whose logins have stopped and whose token has expired."""
    before = login_rejected(0).environments[0]
    ping = make_failed_endpoint(
        last=make_probe(reason=Reason.NO_TOKEN, status=None, duration=0.0, phases={}),
        failure=make_failure(reason=Reason.NO_TOKEN, phase=None, submission_id=None, ticket=None),
    )
    sentence = "logins have stopped since 22:56 UTC, and there is no token to ping with"
    return make_overview(replace(before, sentence=sentence, ping=ping, token_expiry=NOW - 10.0))


def api_down() -> Overview:
    """Return an environment whose pings fail, which has an open and an ended incident, next to a well one."""
    ended = make_incident(16, environment="uat", begin=NOW - DAY, end=NOW - DAY + 60.0, down=60.0)
    sentence = "pings have failed since 22:56 UTC (server_error); logins succeed"
    history = [
        make_failed_probe(started_at=NOW - 30.0 * age, duration=0.2)
        if age < 20
        else make_probe(started_at=NOW - 30.0 * age, duration=0.05 + age * 7 % 13 / 200)
        for age in reversed(range(60))
    ]
    ping = make_failed_endpoint(history=history)
    prod = make_failed_environment(sentence=sentence, ping=ping)
    return make_overview(make_environment("uat"), prod, incidents=(make_incident(), ended))


def both_down() -> Overview:
    """Return two environments whose logins and pings fail."""
    down = [
        make_failed_environment(
            name,
            sentence="login and ping have failed since 22:56 UTC (timeout in connect)",
            login=make_failed_endpoint(Endpoint.TOKEN),
        )
        for name in ("prod", "uat")
    ]
    return make_overview(*down)


def never_reached() -> Overview:
    """Return an environment before its first probe has ended."""
    values = {"state": EndpointState.STARTING, "since": None, "last": None, "history": (), "certificate_expiry": None}
    starting = [
        make_endpoint(endpoint, **values, chain_expiry=None, uptimes=(), next_attempt=NOW) for endpoint in Endpoint
    ]
    prod = make_environment(
        sentence="no login has been attempted yet",
        is_well=False,
        login=starting[0],
        ping=starting[1],
        token_expiry=None,
        token_lifetime=None,
        clock_offset=None,
    )
    return make_overview(prod)


def maintenance() -> Overview:
    """Return a failing environment in planned maintenance, with a later window."""
    windows = (Maintenance(NOW - 1800.0, NOW + 1800.0), Maintenance(NOW + 7 * DAY, NOW + 7 * DAY + 3600.0))
    return make_overview(make_failed_environment(maintenance=windows), make_environment("uat"))


def thirty() -> Overview:
    """Return thirty environments, two of them failing, and fifty incidents."""
    names = [f"env_{number}" for number in range(30)]
    environments = [
        (make_failed_environment if number in (7, 23) else make_environment)(name) for number, name in enumerate(names)
    ]
    incidents = [
        make_incident(number, environment=names[number % 30], end=NOW - 60.0 * number) for number in range(50, 0, -1)
    ]
    return make_overview(*environments, incidents=tuple(incidents))


def hostile() -> Overview:
    """Return a failure with the hostile text in each value that comes from a server."""
    probe = make_failed_probe(detail=LONG, error_code=HOSTILE, submission_id=HOSTILE, address=HOSTILE)
    failure = make_failure(received=LONG, submission_id=HOSTILE, ticket=LONG)
    ping = make_failed_endpoint(last=probe, failure=failure, history=(probe,) * 60)
    incident = make_incident(first=probe, last=probe, submission_ids=(HOSTILE,) * 20, decisions=(HOSTILE,))
    return make_overview(make_failed_environment(ping=ping), incidents=(incident,))


def restarted() -> Overview:
    """Return a monitor that has started again in the middle of an outage; another outage has ended unobserved."""
    ended = make_incident(16, environment="uat", begin=NOW - 7200.0, end=NOW - 30.0, last_observed=NOW - 3600.0)
    overview = make_overview(make_failed_environment(), make_environment("uat"), incidents=(make_incident(), ended))
    return replace(overview, started_at=NOW - 60.0)


STATES: dict[str, Callable[[], Overview]] = {
    "well": well,
    "login-rejected": login_rejected,
    "stopped": stopped,
    "api-down": api_down,
    "both-down": both_down,
    "never-reached": never_reached,
    "maintenance": maintenance,
    "thirty-environments": thirty,
    "hostile-message": hostile,
    "restart-in-an-outage": restarted,
}
