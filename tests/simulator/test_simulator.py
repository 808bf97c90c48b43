"""The simulator starts quickly, logs requests, switches faults, and releases its resources."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from monitor.simulator import Host, Latency, Simulator, faults
from monitor.simulator.faults import Moment
from monitor.simulator.listener import AcceptedConnection
from tests.simulator.client import PING, SimulatorClient


def test_both_environments_start_with_half_a_second_of_work() -> None:
    """The simulator opens four sockets and generates a few keys, which costs less processor time on any machine."""
    began = time.thread_time()
    with Simulator() as simulator:
        assert list(simulator.environments) == ["prod", "uat"]
        ports = {url.split(":")[2].split("/")[0] for e in simulator.environments.values() for url in e.urls().values()}
        assert len(ports) == 4
        assert time.thread_time() - began < 0.5


def test_the_end_of_the_simulator_leaves_no_socket_no_thread_and_no_file() -> None:
    """A request that hangs after the handshake and a connection that hangs before it do not prevent that."""
    threads, descriptors = threading.active_count(), len(list(Path("/dev/fd").iterdir()))
    with Simulator() as simulator:
        client = SimulatorClient(simulator.environment("prod"), simulator.ca_file)
        ca_file = simulator.ca_file
        client.environment.api_faults.queue(faults.HangAfterHandshake(), faults.Hang())
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        hanging = client.connect(Host.API)
        hanging.sendall(request)
        simulator.log.wait_for_requests(1)
        port = int(client.environment.api_url.split(":")[2].split("/")[0])
        silent = socket.create_connection(("127.0.0.1", port))
        simulator.log.wait_for_connections(2)
    with hanging, silent:
        assert silent.recv(1) == b""
    assert not ca_file.exists()
    assert threading.active_count() == threads
    assert len(list(Path("/dev/fd").iterdir())) == descriptors


def test_a_record_contains_the_request_without_secrets(client: SimulatorClient, simulator: Simulator) -> None:
    """The record has the names of fields and the scheme of an authorization, and no value."""
    before = time.time()
    token = client.token()
    client.ping(token, path=f"/ClientAPI{PING}?password={token}")
    login, ping = simulator.log.wait_for_requests(2)
    assert (login.environment, login.host, login.method, login.path) == ("prod", "token", "POST", "/oauth/token")
    assert login.fields == ("Username", "Password", "grant_type")
    assert (login.headers["authorization"], ping.headers["authorization"]) == ("Basic", "Bearer")
    assert (login.status, ping.status, login.tls_version) == (200, 400, "TLSv1.3")
    assert ping.path == f"/ClientAPI{PING}?password"
    assert before <= login.when <= time.time()
    credentials = client.environment.credentials
    for text in (repr(login), str(login), repr(ping), str(ping)):
        for secret in (token, credentials.password, credentials.username, credentials.client_secret):
            assert secret not in text


def test_a_record_shows_a_reused_connection(client: SimulatorClient, simulator: Simulator) -> None:
    """Only the first request of a connection is fresh."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with client.connect(Host.API) as sock:
        for count in (1, 2):
            sock.sendall(request)
            simulator.log.wait_for_requests(count)
            sock.recv(65536)
    first, second = simulator.log.records("prod", "api")
    assert (first.fresh, second.fresh) == (True, False)
    assert first.connection == second.connection
    assert simulator.log.connections() == 1


def test_waiting_for_a_request_ends_when_it_is_received(client: SimulatorClient, simulator: Simulator) -> None:
    """The request is logged even if it gets no response."""
    client.environment.api_faults.set(faults.HangAfterHandshake())
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        (record,) = simulator.log.wait_for_requests(1, environment="prod", host="api")
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert record.status is None


def test_a_timeout_reports_the_received_requests(simulator: Simulator) -> None:
    """The message has the received and the expected number."""
    with pytest.raises(TimeoutError, match="0 of 1 requests received"):
        simulator.log.wait_for_requests(1, 0.01)
    with pytest.raises(TimeoutError, match="0 of 1 connections accepted"):
        simulator.log.wait_for_connections(1, 0.01)


def test_the_log_calls_its_callback_for_each_request(client: SimulatorClient, simulator: Simulator) -> None:
    """The callback receives the record of the request."""
    called = threading.Event()
    simulator.log.on_record = lambda record: called.set() if record.method == "GET" else None
    client.ping()
    assert called.wait(30)


def test_a_fault_can_apply_to_a_number_of_connections(client: SimulatorClient) -> None:
    """The fault is cleared after that number."""
    client.environment.api_faults.set(faults.Status(500), times=2)
    assert [client.ping().status for _ in range(3)] == [500, 500, 401]
    assert client.environment.api_faults.current is None


def test_queued_faults_precede_the_set_fault(client: SimulatorClient) -> None:
    """Each queued fault applies to one connection, in their order; None is no fault."""
    client.environment.api_faults.set(faults.Status(503))
    client.environment.api_faults.queue(faults.Status(500), None, faults.Status(429))
    assert [client.ping().status for _ in range(5)] == [500, 401, 429, 503, 503]
    client.environment.api_faults.clear()
    assert client.ping().status == 401


def test_impossible_faults_raise_a_value_error(simulator: Simulator) -> None:
    """A pong is not a fault of the token endpoint, and refused connections are not counted."""
    environment = simulator.environment("prod")
    with pytest.raises(ValueError, match="not a fault of the token host"):
        environment.token_faults.set(faults.Pong(1))
    with pytest.raises(ValueError, match="not a fault of the api host"):
        environment.api_faults.queue(faults.TokenResponse())
    with pytest.raises(ValueError, match="cannot be combined with `times`"):
        environment.api_faults.set(faults.Refuse(), times=1)
    with pytest.raises(ValueError, match="`times` must be a positive number"):
        environment.api_faults.set(faults.Hang(), times=0)
    with pytest.raises(ValueError, match="cannot be queued"):
        environment.api_faults.queue(faults.Refuse())
    with pytest.raises(ValueError, match="drip"):
        faults.Drip(at=Moment.ACCEPT)


def test_an_exact_latency_is_exact(client: SimulatorClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host waits exactly the latency once, and the response takes at least as long."""
    pauses: list[float] = []
    pause = AcceptedConnection.pause

    def recorded(self: AcceptedConnection, seconds: float) -> None:
        pauses.append(seconds)
        pause(self, seconds)

    monkeypatch.setattr(AcceptedConnection, "pause", recorded)
    client.environment.latency = 0.1
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began >= 0.1
    assert [seconds for seconds in pauses if seconds] == [0.1]


def test_latency_varies_around_its_median() -> None:
    """A latency without spread does not vary."""
    varying, exact = Latency(token=0.1), Latency(token=0.1, spread=0)
    draws = {varying.draw(Host.TOKEN) for _ in range(100)}
    assert len(draws) == 100
    assert 0.02 < min(draws) < 0.1 < max(draws) < 0.5
    assert {exact.draw(Host.TOKEN) for _ in range(100)} == {0.1}


def test_the_settings_are_complete(simulator: Simulator) -> None:
    """They are six per environment, the CA file and no proxy; the public settings are those without secrets."""
    settings = simulator.settings()
    assert len(settings) == 14
    assert settings["TIGR_ENVIRONMENTS__UAT__TOKEN_URL"] == simulator.environment("uat").token_url
    assert Path(settings["TIGR_CA_FILE"]).read_bytes().startswith(b"-----BEGIN CERTIFICATE")
    public = simulator.public_settings()
    assert settings.items() - public.items() == {
        item for environment in simulator.environments.values() for item in environment.secrets().items()
    }


def test_an_environment_that_is_not_simulated_is_disabled() -> None:
    """The monitor enables both built-in environments by default."""
    with Simulator(["uat", "nar"], tls=False) as simulator:
        settings = simulator.settings()
        assert settings["TIGR_ENVIRONMENTS__PROD__ENABLED"] == "false"
        assert settings["TIGR_ENVIRONMENTS__NAR__API_URL"].startswith("http://localhost:")
        assert SimulatorClient(simulator.environment("nar")).login().status == 200


def test_both_address_families_use_the_same_port() -> None:
    """A client may resolve `localhost` to either family."""
    with Simulator(["prod"], tls=False, ipv6=True) as simulator:
        port = int(simulator.environment("prod").api_url.split(":")[2].split("/")[0])
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert sock.recv(12) == b"HTTP/1.1 404"


@pytest.mark.parametrize(
    "request_bytes, status",
    [
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost a\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nab", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000, b"431"),
    ],
)
def test_a_malformed_or_oversized_request_is_refused(
    client: SimulatorClient, request_bytes: bytes, status: bytes
) -> None:
    """The status is 400, 413 for a large body, or 431 for a large header section."""
    with client.connect(Host.API) as sock:
        sock.sendall(request_bytes)
        assert sock.recv(12) == b"HTTP/1.1 " + status


def test_the_response_to_a_malformed_request_repeats_no_part_of_it(client: SimulatorClient) -> None:
    """A malformed line may hold a secret."""
    response = client.raw(Host.API, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization canary-secret\r\n\r\n")
    assert b"malformed" in response
    assert b"canary-secret" not in response
