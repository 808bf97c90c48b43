"""Each fault does what its name says, byte for byte where that matters."""

from __future__ import annotations

import gzip
import http.client
import ssl
import time
import warnings
import zlib
from collections.abc import Callable

import pytest

from monitor.simulator import CertificateVariant, Host, SimulatedEnvironment, Simulator, faults
from monitor.simulator.faults import ConnectionEnd, Content, Moment, TlsVersion
from tests.simulator.client import SimulatorClient

STATUSES = [301, 302, 307, 308, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504]


@pytest.fixture
def token(client: SimulatorClient) -> str:
    """A token granted before anything went wrong."""
    return client.token()


@pytest.mark.parametrize("code", STATUSES)
def test_any_status_is_answered(client: SimulatorClient, code: int) -> None:
    """On both hosts, with the headers that were given."""
    fault = faults.Status(code, headers={"Location": "https://elsewhere.test/", "Retry-After": "7"})
    client.environment.token_faults.set(fault)
    client.environment.api_faults.set(fault)
    for reply in (client.login(), client.ping()):
        assert (reply.status, reply.headers["Retry-After"]) == (code, "7")
        assert reply.headers["Location"] == "https://elsewhere.test/"


@pytest.mark.parametrize(
    "content, looks",
    [
        (Content.ERROR_CONTAINER, lambda body: b'"submissionId"' in body),
        (Content.RFC6749, lambda body: b'"error": "invalid_request"' in body),
        (Content.HTML, lambda body: body.startswith(b"<!DOCTYPE html>")),
        (Content.EMPTY, lambda body: body == b""),
    ],
)
def test_an_error_has_the_body_that_was_chosen(
    client: SimulatorClient, content: Content, looks: Callable[[bytes], bool]
) -> None:
    """The vendor's container, RFC 6749's error, a gateway's page, or nothing."""
    client.environment.api_faults.set(faults.Status(503, content))
    assert looks(client.ping().body)


def test_an_endless_body_goes_on_until_the_client_goes(client: SimulatorClient, simulator: Simulator) -> None:
    """It has no length, comes in small pieces, and ends with the connection."""
    client.environment.api_faults.set(faults.Status(500, Content.ENDLESS), times=1)
    received = b""
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET /ClientAPI HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while len(received) < 5_000:
            received += sock.recv(65536)
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"content-length" not in received.lower()
    assert simulator.log.requests() == 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.Http10(),
        faults.Chunked(),
        faults.Slow(0.05),
        faults.Drip(0.0),
        faults.Drip(0.0, Moment.BODY),
    ],
)
def test_what_is_odd_but_well_succeeds(client: SimulatorClient, token: str, fault: faults.HostFault) -> None:
    """A client that knows HTTP gets its token and its pong."""
    client.environment.token_faults.set(fault)
    client.environment.api_faults.set(fault)
    assert client.login().json["access_token"]
    assert client.ping(token).json["pong"]


def test_early_hints_come_before_the_answer(client: SimulatorClient) -> None:
    """The 103 is a whole answer of its own, before the real one."""
    client.environment.api_faults.set(faults.EarlyHints())
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    hints, _, answer = client.raw(Host.API, request).partition(b"\r\n\r\n")
    assert hints.startswith(b"HTTP/1.1 103 ")
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_slow_is_as_slow_as_it_says(client: SimulatorClient, token: str) -> None:
    """The seconds come on top of the latency."""
    client.environment.api_faults.set(faults.Slow(0.3))
    began = time.monotonic()
    assert client.ping(token).status == 200
    assert time.monotonic() - began >= 0.3


def test_a_drip_is_one_byte_at_a_time(client: SimulatorClient) -> None:
    """A quarter of a second gives a few bytes, not an answer."""
    client.environment.api_faults.set(faults.Drip(0.05))
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [sock.recv(100) for _ in range(5)] == [b"H", b"T", b"T", b"P", b"/"]


@pytest.mark.parametrize("fault", [faults.Hang(), faults.Drip(0.01, Moment.HANDSHAKE)])
def test_a_silent_or_dripping_handshake_times_out(client: SimulatorClient, fault: faults.HostFault) -> None:
    """The connection stands, and TLS never does."""
    client.environment.api_faults.set(fault)
    client.timeout = 0.1
    with pytest.raises(TimeoutError):
        client.connect(Host.API)


@pytest.mark.parametrize(
    "fault, begin",
    [
        (faults.HangAfterHandshake(), b""),
        (faults.HangMidHeaders(), b"HTTP/1.1 401 Unauthorized\r\nServer: "),
        (faults.HangMidBody(), b"HTTP/1.1 401 Unauthorized\r\nServer: "),
        (faults.SwitchingProtocols(), b"HTTP/1.1 101 Switching Protocols\r\n"),
        (faults.NotHttp(), b"220 simulator.test ESMTP"),
        (faults.Raw(b"HTTP/1.1 2", ConnectionEnd.HANG), b"HTTP/1.1 2"),
    ],
)
def test_a_hanging_answer_is_silent_from_there_on(
    client: SimulatorClient, fault: faults.HostFault, begin: bytes
) -> None:
    """What was to come comes, then nothing, and the connection stays open."""
    client.environment.api_faults.set(fault)
    received = b""
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET /ClientAPI/api/system/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):  # noqa: PT012 - read until it does
            while data := sock.recv(65536):
                received += data
    assert received.startswith(begin)
    if isinstance(fault, faults.HangMidHeaders):
        assert b"\r\n\r\n" not in received
    if isinstance(fault, faults.HangMidBody):
        assert not received.partition(b"\r\n\r\n")[2].endswith(b"}")


@pytest.mark.parametrize("moment", Moment)
def test_a_reset_comes_at_its_moment(moment: Moment) -> None:
    """It is a reset and not an end, after exactly what was to be sent before it."""
    # Without TLS: above it, Python takes a reset for an end.
    received = b""
    with Simulator(["prod"], tls=False) as simulator:
        client = SimulatorClient(simulator.environment("prod"))
        client.environment.api_faults.set(faults.Reset(moment))
        # Around the connect too: a reset that is quick enough is met there.
        with pytest.raises((ConnectionResetError, BrokenPipeError)), client.connect(Host.API) as sock:  # noqa: PT012
            sock.sendall(b"GET /ClientAPI/api/system/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while data := sock.recv(65536):
                received += data
    assert (b"HTTP/1.1 401" in received) == (moment in (Moment.HEADERS, Moment.BODY))
    assert (b"\r\n\r\n" in received) == (moment is Moment.BODY)


@pytest.mark.parametrize("moment", [Moment.ACCEPT, Moment.HANDSHAKE])
def test_a_reset_before_tls_stands_breaks_the_handshake(client: SimulatorClient, moment: Moment) -> None:
    """As a reset, too."""
    client.environment.api_faults.set(faults.Reset(moment))
    with pytest.raises(ConnectionResetError):
        client.connect(Host.API)


def test_refused_connections_come_back_on_the_same_port(client: SimulatorClient, token: str) -> None:
    """Nothing listens while it lasts, nobody else can take the port, and all is well afterwards."""
    url = client.environment.api_url
    client.environment.api_faults.set(faults.Refuse())
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            client.ping(token)
    client.environment.api_faults.clear()
    assert client.environment.api_url == url
    assert client.ping(token).status == 200


def test_a_host_without_tls_is_no_tls(client: SimulatorClient) -> None:
    """The handshake fails for what came, not for a certificate."""
    client.environment.api_faults.set(faults.NotTls())
    with pytest.raises(ssl.SSLError) as failure:
        client.ping()
    assert not isinstance(failure.value, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("fault", [faults.TruncatedBody(), faults.ChunkedBroken(), faults.WrongContentLength(10)])
def test_a_body_that_breaks_off_is_incomplete(client: SimulatorClient, token: str, fault: faults.HostFault) -> None:
    """Less comes than was announced."""
    client.environment.api_faults.set(fault)
    client.timeout = 0.2
    with pytest.raises((http.client.IncompleteRead, TimeoutError)):
        client.ping(token)


def test_a_body_may_be_longer_than_announced(client: SimulatorClient, token: str) -> None:
    """The client reads a body that is cut off, and it is no JSON."""
    client.environment.api_faults.set(faults.WrongContentLength(-5))
    with pytest.raises(ValueError, match="Unterminated string"):
        _ = client.ping(token).json


def test_a_huge_body_stops_when_the_client_goes(client: SimulatorClient) -> None:
    """It announces 2 GB and streams as long as somebody reads."""
    client.environment.api_faults.set(faults.HugeBody())
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while len(received) < 1_000_000:
            received += sock.recv(65536)
    assert b"Content-Length: 2147483648\r\n" in received


def test_an_answer_may_be_compressed(client: SimulatorClient, token: str) -> None:
    """With the right header, and the pong inside."""
    client.environment.api_faults.set(faults.Gzipped())
    reply = client.ping(token)
    assert reply.headers["Content-Encoding"] == "gzip"
    assert b"pong" in gzip.decompress(reply.body)


def test_a_gzip_bomb_is_small_and_becomes_large(client: SimulatorClient) -> None:
    """Tens of kilobytes on the wire, tens of megabytes unpacked."""
    client.environment.api_faults.set(faults.GzipBomb())
    packed = client.ping().body
    assert len(packed) < 64 * 1024
    assert len(zlib.decompress(packed, wbits=31)) >= 40 * 1024**2


def test_any_body_can_come_with_a_good_status(client: SimulatorClient) -> None:
    """Bytes that are no JSON and no text are answered as given."""
    client.environment.token_faults.set(faults.Body(b"\xff\xfe<html>", "text/html"))
    reply = client.login()
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"\xff\xfe<html>", "text/html")


def test_a_token_response_can_be_changed_in_every_field(client: SimulatorClient) -> None:
    """Any JSON value, fields left out, and a lifetime inside the token that is not the one outside."""
    client.environment.token_faults.set(
        faults.TokenResponse({"expires_in": "soon", "scope": None}, without=("token_type",), jwt_lifetime=30)
    )
    answer = client.login().json
    assert (answer["expires_in"], answer["scope"]) == ("soon", None)
    assert "token_type" not in answer
    assert client.ping(answer["access_token"]).status == 200
    client.environment.clock_offset = 32
    assert client.ping(answer["access_token"]).status == 401


def test_a_wrong_login_gets_no_changed_token_either(client: SimulatorClient) -> None:
    """A fault of the answer does not open the door."""
    client.environment.token_faults.set(faults.TokenResponse({"expires_in": 1}))
    assert client.login(form="Username=a&Password=b&grant_type=password").status == 401


@pytest.mark.parametrize("value", [None, "yesterday", 12, ["2024-10-31T17:58:38.066Z"]])
def test_a_pong_can_be_anything(client: SimulatorClient, token: str, value: object) -> None:
    """The ping is well but for its value."""
    client.environment.api_faults.set(faults.Pong(value))
    assert client.ping(token).json == {"pong": value}


def test_an_echo_repeats_every_secret(client: SimulatorClient) -> None:
    """The password and the authorization come back in the error message: bait for whoever shows it."""
    client.environment.token_faults.set(faults.Echo())
    message = client.login().json["errors"][0]["message"]
    assert client.environment.credentials.password in message
    assert "Authorization: Basic " in message


def test_an_open_api_asks_for_no_token(client: SimulatorClient) -> None:
    """200 without a token, and with a dead one."""
    client.environment.api_faults.set(faults.ApiOpen())
    assert client.ping().json["pong"]
    assert client.ping("dead").json["pong"]


@pytest.mark.parametrize(
    "kind, says",
    [
        (CertificateVariant.EXPIRED, "has expired"),
        (CertificateVariant.NOT_YET_VALID, "not yet valid"),
        (CertificateVariant.WRONG_HOST, "Hostname mismatch"),
        (CertificateVariant.SELF_SIGNED, "self-signed certificate"),
        (CertificateVariant.UNKNOWN_CA, "unable to get local issuer"),
    ],
)
def test_a_bad_certificate_is_bad_for_its_own_reason(
    client: SimulatorClient, kind: CertificateVariant, says: str
) -> None:
    """OpenSSL names exactly what was to be wrong."""
    client.environment.api_faults.set(faults.Certificate(kind))
    with pytest.raises(ssl.SSLCertVerificationError, match=says):
        client.ping()


def test_the_good_certificate_is_good_in_the_strictest_reading(simulator: Simulator, client: SimulatorClient) -> None:
    """What newer Pythons check by default, older ones can be told to."""
    assert client.tls is not None
    client.tls.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    with client.connect(Host.TOKEN) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        certificate = sock.getpeercert()
        assert certificate
        not_after = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        assert not_after == int(simulator.certificate_expiry())
        assert sock.version() == "TLSv1.3"


def test_a_host_of_yesterday_speaks_tls_1_0_only(client: SimulatorClient) -> None:
    """A client of today finds no common version; one that is told to finds it."""
    client.environment.api_faults.set(faults.TlsMax())
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
    usual, client.tls = client.tls, old
    with client.connect(Host.API) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.version() == "TLSv1"
    client.tls = usual
    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol|sigalg"):
        client.ping()


def test_a_host_can_stay_behind_at_tls_1_2(client: SimulatorClient, simulator: Simulator, token: str) -> None:
    """Nothing is wrong with that, and the log shows it."""
    client.environment.api_faults.set(faults.TlsMax(TlsVersion.TLS_1_2))
    assert client.ping(token).status == 200
    assert simulator.log.records("prod", "api")[0].tls_version == "TLSv1.2"


def test_the_other_environment_and_the_other_host_are_well(client: SimulatorClient, simulator: Simulator) -> None:
    """A fault is of one host of one environment."""
    client.environment.api_faults.set(faults.Refuse())
    other: SimulatedEnvironment = simulator.environment("uat")
    assert client.login().status == 200
    assert SimulatorClient(other, simulator.ca_file).ping(other.issue_token()).status == 200
