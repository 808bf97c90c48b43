"""The monitor, with default settings, against real authorization servers, each with its own checks and error texts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import dropwhile, groupby
from typing import Any

import pytest

from monitor.reporting.metric_families import OUTCOMES
from tests.support.harness import value
from tests.support.process import Monitor, run, wait_for
from tests.system.servers.real import ACCOUNT, NODE_SERVERS, PYTHON_SERVERS, WRONG, OAuthServer, ReceivedRequest

# The timeout applies to the tests only: the fixtures, which install and wait, have separate limits.
pytestmark = [pytest.mark.system, pytest.mark.timeout(60, func_only=True)]

_NAMES = [*PYTHON_SERVERS, *(pytest.param(name, marks=pytest.mark.needs("node", "npm")) for name in NODE_SERVERS)]
each_server = pytest.mark.parametrize("server", _NAMES, indirect=True)

_RIGHT = {"username": ACCOUNT.username, "password": ACCOUNT.password}
_DOCUMENTED = {"Username": ACCOUNT.username, "Password": ACCOUNT.password}
_PINGS = 17  # more than three intervals between logins
_RECOVERY_TIMEOUT = 30.0  # seconds; a token younger than 10 s is not replaced at once


@dataclass(frozen=True)
class Response:
    """A response to a login: its status, its error code, and its text for a reader."""

    status: int
    code: str
    text: str


@dataclass(frozen=True)
class Facts:
    """How a server refuses a form with `Username`, a wrong password, a wrong client secret and a revoked token."""

    documented: Response
    wrong_password: Response
    wrong_secret: Response
    revoked_status: int = 401
    challenge: str = 'error="invalid_token"'


_FACTS = {
    "django": Facts(
        Response(400, "invalid_request", "Request is missing username parameter."),
        Response(400, "invalid_grant", "Invalid credentials given."),
        Response(401, "invalid_client", "invalid_client"),
        revoked_status=403,
        challenge="",
    ),
    "authlib": Facts(
        Response(400, "invalid_request", "Missing 'username' in request."),
        Response(400, "invalid_request", "Invalid 'username' or 'password' in request."),
        Response(401, "invalid_client", "The client cannot authenticate with methods"),
    ),
    "fastapi": Facts(
        Response(422, "missing", "Field required"),
        Response(401, "", "Incorrect username or password"),
        Response(200, "", "access_token"),  # its form does not check the client
        challenge="Bearer",
    ),
    "node": Facts(
        Response(400, "invalid_request", "Missing parameter: `username`"),
        Response(400, "invalid_grant", "Invalid grant: user credentials are invalid"),
        Response(401, "invalid_client", "Invalid client: client is invalid"),
    ),
    "oidc": Facts(
        Response(400, "invalid_request", "missing required parameter(s) 'username'"),
        Response(400, "invalid_grant", "grant request is invalid"),
        Response(401, "invalid_client", "client authentication failed"),
    ),
}


def facts(server: OAuthServer) -> Facts:
    """Return the facts about a server."""
    return _FACTS[server.name]


def settings(servers: Iterable[OAuthServer], **changes: str) -> dict[str, str]:
    """Return the settings for an environment per server, with the same changes of credentials in each."""
    environ = {f"TIGR_ENVIRONMENTS__{name}__ENABLED": "false" for name in ("PROD", "UAT")}
    for server in servers:
        prefix = f"TIGR_ENVIRONMENTS__{server.name.upper()}__"
        environ |= server.settings() | {prefix + name.upper(): text for name, text in changes.items()}
    return environ


# Tests of the servers alone.


@each_server
@pytest.mark.parametrize(
    "fact,form,secret",
    [
        ("documented", _DOCUMENTED, ACCOUNT.client_secret),
        ("wrong_password", _RIGHT | {"password": WRONG}, ACCOUNT.client_secret),
        ("wrong_secret", _RIGHT, WRONG),
    ],
    ids=["documented", "wrong password", "wrong secret"],
)
def test_the_server_responds_as_documented(fact: str, form: dict[str, str], secret: str, server: OAuthServer) -> None:
    """A refusal has the status, code and text of the table, and only a wrong password counts as one."""
    expected: Response = getattr(facts(server), fact)
    before = server.wrong_passwords()
    response = server.log_in(form, secret)
    assert response.status_code == expected.status
    assert expected.code in response.text
    assert expected.text in response.text
    assert server.wrong_passwords() - before == (fact == "wrong_password")


@each_server
@pytest.mark.parametrize("change", ["revoke", "expire"])
def test_the_server_refuses_an_expired_or_revoked_token(change: str, server: OAuthServer) -> None:
    """A ping is accepted with a valid token, and refused after the token was revoked or has expired."""
    token = server.log_in(_RIGHT).json()["access_token"]
    response = server.ping(token)
    assert (response.status_code, list(response.json())) == (200, ["pong"])
    server.change_tokens(change)
    response = server.ping(token)
    assert response.status_code == facts(server).revoked_status
    assert facts(server).challenge in response.headers.get("WWW-Authenticate", "")
    assert bool(response.content) == (server.name != "django")


# Tests of one login and one ping.


def check(server: OAuthServer, status: int, **changes: str) -> list[dict[str, Any]]:
    """Run `check --json` and return the exchanges that it prints."""
    ended = run(["check", "--json"], settings([server], **changes))
    assert ended.returncode == status, ended.stdout + ended.stderr
    printed: list[dict[str, Any]] = json.loads(ended.stdout)
    return printed


def decisive(exchanges: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the login that decided: the last one."""
    return [exchange for exchange in exchanges if exchange["endpoint"] == "token"][-1]


@each_server
def test_right_credentials_log_in(server: OAuthServer) -> None:
    """The refused `Username` is followed by `username` in the same run, and the granted token is good for a ping."""
    before = len(server.requests())
    *_, ping = check(server, 0)
    assert (ping["endpoint"], ping["success"]) == ("ping", True)
    logins = [request for request in server.requests()[before:] if request.is_login]
    assert [(login.fields[0], login.status) for login in logins] == [
        ("Username", facts(server).documented.status), ("username", 200),
    ]  # fmt: skip


@each_server
def test_a_wrong_password_is_reported(server: OAuthServer) -> None:
    """`check` fails with the server's text for a wrong password, and sends the password once with each field name."""
    before = server.wrong_passwords()
    login = decisive(check(server, 1, password=WRONG))
    assert login["status"] == facts(server).wrong_password.status
    assert facts(server).wrong_password.text in login["detail"]
    assert server.wrong_passwords() - before == 1


@each_server
def test_a_wrong_client_secret_is_reported(server: OAuthServer) -> None:
    """`check` fails with the server's text for a wrong client secret, unless the server does not check the client."""
    expected = facts(server).wrong_secret
    before = server.wrong_passwords()
    login = decisive(check(server, 0 if expected.status == 200 else 1, client_secret=WRONG))
    assert login["status"] == expected.status
    assert expected.status == 200 or expected.text in login["detail"]
    assert server.wrong_passwords() == before


# Tests of the daemon. One process monitors every server, each as an environment, so that it waits for all in parallel.

_INTERVALS = {"TIGR_PING_INTERVAL": "1s", "TIGR_CONFIRM_INTERVAL": "1s", "TIGR_TIMEOUT": "5s"}


def pings(text: str, name: str) -> float:
    """Return the number of pings of an environment, including those without a token."""
    labels = {"environment": name, "endpoint": "ping"}
    return sum(value(text, "tigr_requests_total", **labels, outcome=outcome) or 0 for outcome in OUTCOMES)


@dataclass(frozen=True)
class Outcome:
    """The metrics of the daemon at the end of a scenario, and the wrong passwords and requests of each server."""

    metrics: str
    wrong_passwords: Mapping[str, int]
    received: Mapping[str, list[ReceivedRequest]]


@pytest.fixture(scope="module")
def rejected(servers: dict[str, OAuthServer], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Let the daemon run with a wrong password everywhere, for many pings and several intervals between logins."""
    directory = tmp_path_factory.mktemp("rejected")
    (directory / "state").mkdir()
    before = {name: (server.wrong_passwords(), len(server.requests())) for name, server in servers.items()}
    environ = settings(servers.values(), password=WRONG) | _INTERVALS
    environ |= {"TIGR_AUTH_INTERVAL": "5s", "TIGR_STATE_DIR": str(directory / "state")}
    with Monitor(environ, directory) as monitor:
        wait_for(lambda: all(pings(monitor.metrics(), name) >= _PINGS for name in servers), "it pings", 60)
        metrics = monitor.metrics()
    return Outcome(
        metrics,
        {name: server.wrong_passwords() - before[name][0] for name, server in servers.items()},
        {name: server.requests()[before[name][1] :] for name, server in servers.items()},
    )


@each_server
def test_a_wrong_password_is_sent_at_most_three_times(server: OAuthServer, rejected: Outcome) -> None:
    """The daemon continues to ping, sends at most three logins, and the metric shows the rejection."""
    assert 1 <= rejected.wrong_passwords[server.name] <= 3
    assert sum(request.is_login for request in rejected.received[server.name]) <= 3
    assert value(rejected.metrics, "tigr_credentials_rejected", environment=server.name) == 1
    assert value(rejected.metrics, "tigr_up", environment=server.name, endpoint="token") == 0


def wait_for_each(servers: Iterable[OAuthServer], met: Callable[[OAuthServer], object]) -> list[OAuthServer]:
    """Wait until every server meets a condition, with a limit but without an error; return those that met it."""
    deadline = time.monotonic() + _RECOVERY_TIMEOUT
    pause = threading.Event()
    missing, done = list(servers), list[OAuthServer]()
    while missing and time.monotonic() < deadline:
        done += [server for server in missing if met(server)]
        missing = [server for server in missing if server not in done]
        pause.wait(0.1)
    return done


def groups(received: list[ReceivedRequest]) -> list[tuple[str, int]]:
    """Return name and status of the requests without repetitions, from the first that is not an accepted ping."""
    outcomes = [("login" if request.is_login else "ping", request.status) for request in received]
    return [outcome for outcome, _ in groupby(dropwhile(("ping", 200).__eq__, outcomes))]


def is_well(received: list[ReceivedRequest]) -> bool:
    """Return True if a login was granted and the most recent ping was accepted; a newer login changes nothing."""
    outcomes = groups(received)
    return ("login", 200) in outcomes and [outcome for outcome in outcomes if outcome[0] == "ping"][-1:] == [
        ("ping", 200)
    ]


def end_tokens(server: OAuthServer, how: str) -> int:
    """Invalidate every token of a server; return the number of requests that it had received before."""
    if how == "restart":  # on the same port; the server keeps tokens and requests in memory alone
        server.stop()
        server.start()
        return 0
    before = len(server.requests())
    server.change_tokens(how)
    return before


@pytest.fixture(scope="module", params=["revoke", "expire", "restart"])
def recovered(
    request: pytest.FixtureRequest, servers: dict[str, OAuthServer], tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """Invalidate every token of a healthy daemon, and wait until it is healthy again."""
    environ = settings(servers.values()) | _INTERVALS
    # A 403 without a challenge ends with the next scheduled login. All others must log in because of the 401.
    environ |= {"TIGR_AUTH_INTERVAL": "5m", "TIGR_ENVIRONMENTS__DJANGO__AUTH_INTERVAL": "10s"}
    marks = {name: len(server.requests()) for name, server in servers.items()}

    def received(server: OAuthServer) -> list[ReceivedRequest]:
        return server.requests()[marks[server.name] :]

    def ended(server: OAuthServer) -> bool:
        """Invalidate the tokens as soon as the daemon is healthy, long before the next scheduled login."""
        if well := is_well(received(server)):
            marks[server.name] = end_tokens(server, request.param)
        return well

    with Monitor(environ, tmp_path_factory.mktemp("recovered")) as monitor:
        wait_for_each(wait_for_each(servers.values(), ended), lambda server: is_well(received(server)))
        metrics = monitor.metrics()
    return Outcome(metrics, {}, {name: received(server) for name, server in servers.items()})


@each_server
@pytest.mark.parametrize("recovered", ["revoke", "expire"], indirect=True)
def test_the_daemon_replaces_an_invalid_token(server: OAuthServer, recovered: Outcome) -> None:
    """Pings are refused, one login follows, and pings are accepted again; a bare 403 waits for the scheduled login."""
    received = recovered.received[server.name]
    assert groups(received)[:3] == [("ping", facts(server).revoked_status), ("login", 200), ("ping", 200)]
    renewals = value(recovered.metrics, "tigr_token_renewals_total", environment=server.name, cause="rejected")
    labels = {"environment": server.name, "endpoint": "ping"}
    refused = value(recovered.metrics, "tigr_requests_total", **labels, outcome="forbidden")
    if server.name == "django":
        assert (renewals, bool(refused)) == (0, True)
    else:
        assert (renewals, refused) == (1, 0)
        assert sum(request.is_login for request in received) == 1
    assert value(recovered.metrics, "tigr_up", **labels) == 1


@each_server
@pytest.mark.parametrize("recovered", ["restart"], indirect=True)
def test_the_daemon_survives_a_restart_of_the_server(server: OAuthServer, recovered: Outcome) -> None:
    """The daemon logs in and pings again after a server restarted on its port without its tokens."""
    assert is_well(recovered.received[server.name])
    assert value(recovered.metrics, "tigr_up", environment=server.name, endpoint="ping") == 1
