"""Each fault has the effect of its name on the bytes that a client receives."""

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
    """Return a token that was granted before the fault."""
    return client.token()


@pytest.mark.parametrize("code", STATUSES)
def test_a_host_responds_with_any_status(client: SimulatorClient, code: int) -> None:
    """Both hosts respond with the status and the headers of the fault."""
    fault = faults.Status(code, headers={"Location": "https://elsewhere.test/", "Retry-After": "7"})
    client.environment.token_faults.set(fault)
    client.environment.api_faults.set(fault)
    for reply in (client.login(), client.ping()):
        assert (reply.status, reply.headers["Retry-After"]) == (code, "7")
        assert reply.headers["Location"] == "https://elsewhere.test/"


@pytest.mark.parametrize(
    "content, is_of_the_type",
    [
        (Content.ERROR_CONTAINER, lambda body: b'"submissionId"' in body),
        (Content.RFC6749, lambda body: b'"error": "invalid_request"' in body),
        (Content.HTML, lambda body: body.startswith(b"<!DOCTYPE html>")),
        (Content.EMPTY, lambda body: body == b""),
    ],
)
def test_an_error_has_the_body_of_its_type(
    client: SimulatorClient, content: Content, is_of_the_type: Callable[[bytes], bool]
) -> None:
    """The body is the vendor's container, the error of RFC 6749, the page of a gateway, or empty."""
    client.environment.api_faults.set(faults.Status(503, content))
    assert is_of_the_type(client.ping().body)


def test_an_endless_body_lasts_until_the_client_closes(client: SimulatorClient, simulator: Simulator) -> None:
    """The body has no length, and the client receives any number of bytes of it."""
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
def test_unusual_but_valid_responses_succeed(client: SimulatorClient, token: str, fault: faults.HostFault) -> None:
    """A client that implements HTTP gets its token and its pong."""
    client.environment.token_faults.set(fault)
    client.environment.api_faults.set(fault)
    assert client.login().json["access_token"]
    assert client.ping(token).json["pong"]


def test_early_hints_precede_the_response(client: SimulatorClient) -> None:
    """The 103 is a complete header section before the final response."""
    client.environment.api_faults.set(faults.EarlyHints(0.3))
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    began = time.monotonic()
    hints, _, response = client.raw(Host.API, request).partition(b"\r\n\r\n")
    assert hints.startswith(b"HTTP/1.1 103 ")
    assert response.startswith(b"HTTP/1.1 404 ")
    assert time.monotonic() - began >= 0.3


def test_slow_delays_the_response(client: SimulatorClient, token: str) -> None:
    """The response takes at least the seconds of the fault."""
    client.environment.api_faults.set(faults.Slow(0.3))
    began = time.monotonic()
    assert client.ping(token).status == 200
    assert time.monotonic() - began >= 0.3


def test_a_drip_sends_one_byte_at_a_time(client: SimulatorClient) -> None:
    """Each of the first reads returns one byte of the status line."""
    client.environment.api_faults.set(faults.Drip(0.05))
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [sock.recv(100) for _ in range(5)] == [b"H", b"T", b"T", b"P", b"/"]


@pytest.mark.parametrize("fault", [faults.Hang(), faults.Drip(0.01, Moment.HANDSHAKE)])
def test_a_silent_or_dripping_handshake_times_out(client: SimulatorClient, fault: faults.HostFault) -> None:
    """The client connects, and the TLS handshake times out."""
    client.environment.api_faults.set(fault)
    client.timeout = 0.1
    with pytest.raises(TimeoutError):
        client.connect(Host.API)


@pytest.mark.parametrize(
    "fault, first_bytes",
    [
        (faults.HangAfterHandshake(), b""),
        (faults.HangMidHeaders(), b"HTTP/1.1 401 Unauthorized\r\nServer: "),
        (faults.HangMidBody(), b"HTTP/1.1 401 Unauthorized\r\nServer: "),
        (faults.SwitchingProtocols(), b"HTTP/1.1 101 Switching Protocols\r\n"),
        (faults.NotHttp(), b"220 simulator.test ESMTP"),
        (faults.Raw(b"HTTP/1.1 2", ConnectionEnd.HANG), b"HTTP/1.1 2"),
    ],
)
def test_a_hanging_response_stops_at_its_moment(
    client: SimulatorClient, fault: faults.HostFault, first_bytes: bytes
) -> None:
    """The client receives the bytes before the moment, then nothing, and the connection stays open."""
    client.environment.api_faults.set(fault)
    received = b""
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET /ClientAPI/api/system/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while len(received) < len(first_bytes):
            received += sock.recv(65536)
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):  # noqa: PT012 - read until the timeout
            while data := sock.recv(65536):
                received += data
    assert received.startswith(first_bytes)
    if isinstance(fault, faults.HangMidHeaders):
        assert b"\r\n\r\n" not in received
    if isinstance(fault, faults.HangMidBody):
        assert not received.partition(b"\r\n\r\n")[2].endswith(b"}")


@pytest.mark.parametrize("moment", Moment)
def test_a_reset_happens_at_its_moment(moment: Moment) -> None:
    """The client receives the bytes before the moment, then a reset and not the end of the connection."""
    # Without TLS: with TLS, Python reports a reset as the end of the connection.
    received = b""
    with Simulator(["prod"], tls=False) as simulator:
        client = SimulatorClient(simulator.environment("prod"))
        client.environment.api_faults.set(faults.Reset(moment))
        # The block includes the connect, which reports an early reset.
        with pytest.raises((ConnectionResetError, BrokenPipeError)), client.connect(Host.API) as sock:  # noqa: PT012
            sock.sendall(b"GET /ClientAPI/api/system/ping HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while data := sock.recv(65536):
                received += data
    assert (b"HTTP/1.1 401" in received) == (moment in (Moment.HEADERS, Moment.BODY))
    assert (b"\r\n\r\n" in received) == (moment is Moment.BODY)


@pytest.mark.parametrize("moment", [Moment.ACCEPT, Moment.HANDSHAKE])
def test_a_reset_before_the_end_of_the_handshake_fails_the_handshake(client: SimulatorClient, moment: Moment) -> None:
    """The handshake reports the reset."""
    client.environment.api_faults.set(faults.Reset(moment))
    with pytest.raises(ConnectionResetError):
        client.connect(Host.API)


def test_a_host_that_refused_connections_accepts_them_again_on_the_same_port(
    client: SimulatorClient, token: str
) -> None:
    """Connections are refused until the fault is cleared, and the URL stays the same."""
    url = client.environment.api_url
    client.environment.api_faults.set(faults.Refuse())
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            client.ping(token)
    client.environment.api_faults.clear()
    assert client.environment.api_url == url
    assert client.ping(token).status == 200


def test_a_host_without_tls_fails_the_handshake(client: SimulatorClient) -> None:
    """The error is not one of certificate verification."""
    client.environment.api_faults.set(faults.NotTls())
    with pytest.raises(ssl.SSLError) as failure:
        client.ping()
    assert not isinstance(failure.value, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("fault", [faults.TruncatedBody(), faults.ChunkedBroken(), faults.WrongContentLength(10)])
def test_a_truncated_body_is_incomplete(client: SimulatorClient, token: str, fault: faults.HostFault) -> None:
    """The client receives fewer bytes than announced."""
    client.environment.api_faults.set(fault)
    client.timeout = 0.2
    with pytest.raises((http.client.IncompleteRead, TimeoutError)):
        client.ping(token)


def test_a_body_may_be_longer_than_announced(client: SimulatorClient, token: str) -> None:
    """The client reads the announced bytes only, which are not valid JSON."""
    client.environment.api_faults.set(faults.WrongContentLength(-5))
    with pytest.raises(ValueError, match="Unterminated string"):
        _ = client.ping(token).json


def test_a_huge_body_is_sent_while_the_client_reads(client: SimulatorClient) -> None:
    """The headers announce 2 GB, and the client receives as many bytes as it reads."""
    client.environment.api_faults.set(faults.HugeBody())
    with client.connect(Host.API) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while len(received) < 1_000_000:
            received += sock.recv(65536)
    assert b"Content-Length: 2147483648\r\n" in received


def test_a_response_can_be_compressed(client: SimulatorClient, token: str) -> None:
    """The response has the Content-Encoding header, and its body contains the pong."""
    client.environment.api_faults.set(faults.Gzipped())
    reply = client.ping(token)
    assert reply.headers["Content-Encoding"] == "gzip"
    assert b"pong" in gzip.decompress(reply.body)


def test_a_gzip_bomb_is_small_until_decompression(client: SimulatorClient) -> None:
    """The body has tens of kilobytes, and tens of megabytes after decompression."""
    client.environment.api_faults.set(faults.GzipBomb())
    packed = client.ping().body
    assert len(packed) < 64 * 1024
    assert len(zlib.decompress(packed, wbits=31)) >= 40 * 1024**2


def test_a_success_can_have_any_body(client: SimulatorClient) -> None:
    """The response has the given bytes, which are neither JSON nor text."""
    client.environment.token_faults.set(faults.Body(b"\xff\xfe<html>", "text/html"))
    reply = client.login()
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"\xff\xfe<html>", "text/html")


def test_a_token_response_can_be_changed_in_every_field(client: SimulatorClient) -> None:
    """Fields have any JSON value or are omitted, and the token has another lifetime than the response."""
    client.environment.token_faults.set(
        faults.TokenResponse({"expires_in": "soon", "scope": None}, without=("token_type",), jwt_lifetime=30)
    )
    response = client.login().json
    assert (response["expires_in"], response["scope"]) == ("soon", None)
    assert "token_type" not in response
    assert client.ping(response["access_token"]).status == 200
    client.environment.clock_offset = 32
    assert client.ping(response["access_token"]).status == 401


def test_a_changed_token_response_still_checks_the_login(client: SimulatorClient) -> None:
    """A wrong login is refused despite the fault."""
    client.environment.token_faults.set(faults.TokenResponse({"expires_in": 1}))
    assert client.login(form="Username=a&Password=b&grant_type=password").status == 401


@pytest.mark.parametrize("value", [None, "yesterday", 12, ["2024-10-31T17:58:38.066Z"]])
def test_a_pong_can_be_anything(client: SimulatorClient, token: str, value: object) -> None:
    """The response to the ping has this value."""
    client.environment.api_faults.set(faults.Pong(value))
    assert client.ping(token).json == {"pong": value}


def test_an_echo_repeats_every_secret(client: SimulatorClient) -> None:
    """The error message contains the password and the Authorization header."""
    client.environment.token_faults.set(faults.Echo())
    message = client.login().json["errors"][0]["message"]
    assert client.environment.credentials.password in message
    assert "Authorization: Basic " in message


def test_an_open_api_does_not_check_the_token(client: SimulatorClient) -> None:
    """The ping gets status 200 without a token and with an invalid one."""
    client.environment.api_faults.set(faults.ApiOpen())
    assert client.ping().json["pong"]
    assert client.ping("invalid").json["pong"]


@pytest.mark.parametrize(
    "variant, message",
    [
        (CertificateVariant.EXPIRED, "has expired"),
        (CertificateVariant.NOT_YET_VALID, "not yet valid"),
        (CertificateVariant.WRONG_HOST, "Hostname mismatch"),
        (CertificateVariant.SELF_SIGNED, "self-signed certificate"),
        (CertificateVariant.UNKNOWN_CA, "unable to get local issuer"),
    ],
)
def test_an_invalid_certificate_fails_verification_for_its_reason(
    client: SimulatorClient, variant: CertificateVariant, message: str
) -> None:
    """The error of OpenSSL names the defect."""
    client.environment.api_faults.set(faults.Certificate(variant))
    with pytest.raises(ssl.SSLCertVerificationError, match=message):
        client.ping()


def test_the_good_certificate_passes_strict_verification(simulator: Simulator, client: SimulatorClient) -> None:
    """Python 3.13 verifies strictly by default; the flags make older versions do it."""
    assert client.tls is not None
    client.tls.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    with client.connect(Host.TOKEN) as sock:
        assert isinstance(sock, ssl.SSLSocket)
        certificate = sock.getpeercert()
        assert certificate
        not_after = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
        assert not_after == int(simulator.certificate_expiry())
        assert sock.version() == "TLSv1.3"


def test_a_host_can_support_only_tls_1_0(client: SimulatorClient) -> None:
    """A current client shares no version with the host; a client that allows TLS 1.0 connects."""
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


def test_a_host_can_support_tls_1_2_at_most(client: SimulatorClient, simulator: Simulator, token: str) -> None:
    """The ping succeeds, and the request log has the version."""
    client.environment.api_faults.set(faults.TlsMax(TlsVersion.TLS_1_2))
    assert client.ping(token).status == 200
    assert simulator.log.records("prod", "api")[0].tls_version == "TLSv1.2"


def test_a_fault_applies_to_one_host_of_one_environment(client: SimulatorClient, simulator: Simulator) -> None:
    """The other host and the other environment respond normally."""
    client.environment.api_faults.set(faults.Refuse())
    other: SimulatedEnvironment = simulator.environment("uat")
    assert client.login().status == 200
    assert SimulatorClient(other, simulator.ca_file).ping(other.issue_token()).status == 200
