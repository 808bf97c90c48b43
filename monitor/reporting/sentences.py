"""The state of environments in sentences, for a person who wants to know it in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.model import Endpoint, Reason, Responsibility
from monitor.reporting.overview import EndpointState, EnvironmentOverview
from monitor.reporting.words import PLURAL, counted, duration, moment

MAX_NAMED = 3  # failing environments that have a sentence of their own


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """Facts about one endpoint that its part of a sentence contains. Times are in Unix seconds."""

    endpoint: Endpoint
    state: EndpointState
    since: float | None
    reason: Reason | None
    party: str  # text of the responsibility for a failure
    was_up: bool  # a probe has succeeded since the start of the monitor


@dataclass(frozen=True, slots=True)
class EnvironmentFacts:
    """Facts about one environment that its sentence contains. Times are in Unix seconds."""

    login: EndpointFacts
    ping: EndpointFacts
    is_rejected: bool  # the credentials were rejected
    is_stopped: bool  # no login until an operator acts
    headroom: float | None  # seconds until the token expires
    is_open: bool  # the API accepts unauthenticated requests
    maintenance_until: float | None  # end of the current window
    now: float


def is_well(facts: EnvironmentFacts) -> bool:
    """Return whether both endpoints are up and nothing else needs an operator."""
    is_up = facts.login.state is EndpointState.UP and facts.ping.state is EndpointState.UP
    return is_up and not facts.is_rejected and not facts.is_open


def sentence_of(facts: EnvironmentFacts) -> str:
    """Return the state of one environment in one sentence, without a full stop."""
    parts = [_state(facts)]
    if facts.is_open:
        parts.append("the Client API accepts unauthenticated requests")
    if facts.maintenance_until is not None:
        parts.append(f"planned maintenance until {moment(facts.maintenance_until, facts.now)}")
    return "; ".join(parts)


def sentence_of_all(environments: Sequence[EnvironmentOverview], problems: Sequence[str]) -> str:
    """Return the state of all environments and of the monitor itself, the failing ones first."""
    failing = [each for each in environments if not each.is_well]
    well = [each.name for each in environments if each.is_well]
    texts = [f"The monitor has a problem: {problems[0]}"] if problems else []
    if len(failing) <= MAX_NAMED:
        texts += [f"{each.name}: {each.sentence}" for each in failing]
    else:
        names = ", ".join(each.name for each in failing[:MAX_NAMED])
        texts.append(f"{len(failing)} of {len(environments)} environments are not well: {names} and others")
    if well:
        named = ", ".join(well) if len(well) <= 2 * MAX_NAMED else counted(len(well), "environment")
        texts.append(f"{named}: logins and pings work")
    return ". ".join(texts)


def _state(facts: EnvironmentFacts) -> str:
    login, ping = facts.login, facts.ping
    if login.state is EndpointState.STARTING and ping.state is EndpointState.STARTING and not facts.is_rejected:
        return "starting, no probe has ended yet"
    if login.state is EndpointState.UP and ping.state is EndpointState.UP and not facts.is_rejected:
        return "logins and pings work"
    login_part, ping_part = _login(facts), _ping(facts)
    if not facts.is_rejected and login.state is EndpointState.UP:
        return f"{ping_part}; {login_part}"
    return f"{login_part}; {ping_part}"


def _login(facts: EnvironmentFacts) -> str:
    login = facts.login
    if facts.is_rejected:
        # Another environment with the same credentials, or an earlier process, may have seen the rejection.
        is_known = login.since is not None and login.state in (EndpointState.DOWN, EndpointState.STARTING)
        since = f" since {_since(login, facts.now)}" if is_known else ""
        return f"logins rejected{since}" + (" and stopped until an operator acts" if facts.is_stopped else "")
    return _endpoint(login, facts.now)


def _ping(facts: EnvironmentFacts) -> str:
    ping, login = facts.ping, facts.login
    if ping.state is EndpointState.DOWN and ping.reason is Reason.NO_TOKEN:
        return f"no pings since {_since(ping, facts.now)}, because there is no token"
    does_login_fail = facts.is_rejected or login.state in (EndpointState.DOWN, EndpointState.UNKNOWN)
    if ping.state is EndpointState.UP and does_login_fail:
        if facts.headroom is None or facts.headroom <= 0:
            return "pings worked until the token expired"
        return f"pings still work for {duration(facts.headroom)}"
    return _endpoint(ping, facts.now)


def _endpoint(endpoint: EndpointFacts, now: float) -> str:
    name = PLURAL[endpoint.endpoint]
    if endpoint.state is EndpointState.STARTING:
        return f"no {name[:-1]} has ended yet"
    if endpoint.state is EndpointState.UP:
        return f"{name} work"
    if endpoint.state is EndpointState.UNKNOWN:
        return f"{name} have not been measured since {_since(endpoint, now)} (the monitor itself)"
    party = f": {endpoint.party}" if endpoint.party != Responsibility.UNKNOWN.text else ""
    never = "" if endpoint.was_up else ", none has succeeded since the monitor started"
    return f"{name} have failed since {_since(endpoint, now)} ({endpoint.reason}{party}{never})"


def _since(endpoint: EndpointFacts, now: float) -> str:
    return moment(now if endpoint.since is None else endpoint.since, now)
