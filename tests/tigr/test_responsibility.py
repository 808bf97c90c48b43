"""The party that can end a failure: every reason at both endpoints, and the facts that change it."""

from __future__ import annotations

import pytest

from monitor.model import Endpoint, Phase, Reason, Responsibility
from monitor.tigr.responsibility import responsible
from tests.support.results import make_result, vary

pytestmark = pytest.mark.once

NETWORK, LOGIN, API = Responsibility.NETWORK, Responsibility.LOGIN, Responsibility.API
MONITOR, UNKNOWN, CREDENTIALS = Responsibility.MONITOR, Responsibility.UNKNOWN, Responsibility.CREDENTIALS

# The responsibility of login and ping for a failure with this reason and nothing else.
PLAIN = {
    Reason.NO_TOKEN: (UNKNOWN, UNKNOWN),
    Reason.TIMEOUT: (LOGIN, API),
    Reason.PROXY: (NETWORK, NETWORK),
    Reason.DNS: (NETWORK, NETWORK),
    Reason.CONNECT: (NETWORK, NETWORK),
    Reason.CERTIFICATE: (NETWORK, NETWORK),
    Reason.TLS: (LOGIN, API),
    Reason.DISCONNECT: (LOGIN, API),
    Reason.UNAUTHORIZED: (MONITOR, API),  # a login with this reason and without a refusal was not sent
    Reason.FORBIDDEN: (NETWORK, NETWORK),
    Reason.RATE_LIMITED: (UNKNOWN, UNKNOWN),
    Reason.REJECTED_REQUEST: (UNKNOWN, UNKNOWN),
    Reason.SERVER_ERROR: (LOGIN, API),
    Reason.UNEXPECTED_STATUS: (UNKNOWN, UNKNOWN),
    Reason.MALFORMED: (UNKNOWN, UNKNOWN),
    Reason.INTERNAL: (MONITOR, MONITOR),
}
EXPIRED = "the certificate did not verify: certificate has expired"
OTHER_NAME = "the certificate did not verify: Hostname mismatch, certificate is not valid for 'api.example'."
NO_ISSUER = "the certificate did not verify: unable to get local issuer certificate"
SELF_SIGNED = "the certificate did not verify: self-signed certificate in certificate chain"
TOO_EARLY = "the certificate did not verify: certificate is not yet valid"


def party(endpoint: Endpoint, reason: Reason, **values: object) -> Responsibility:
    """Return the responsibility for a failure."""
    return responsible(vary(make_result(endpoint), reason=reason, **values))


def test_the_table_has_every_reason() -> None:
    """A new reason needs a decision."""
    assert set(PLAIN) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_party_at_each_endpoint(reason: Reason) -> None:
    """Without further facts."""
    assert (party(Endpoint.TOKEN, reason), party(Endpoint.PING, reason)) == PLAIN[reason]


@pytest.mark.parametrize(
    "phase, parties",
    [
        (Phase.RESOLVE, (NETWORK, NETWORK)),
        (Phase.CONNECT, (NETWORK, NETWORK)),
        (Phase.TLS, (LOGIN, API)),
        (Phase.PROCESSING, (LOGIN, API)),
        (Phase.TRANSFER, (LOGIN, API)),
    ],
)
def test_the_phase_of_a_timeout_decides(phase: Phase, parties: tuple[Responsibility, Responsibility]) -> None:
    """A connection that opens shows that the network works."""
    shown = tuple(party(endpoint, Reason.TIMEOUT, failed_phase=phase) for endpoint in Endpoint)
    assert shown == parties


@pytest.mark.parametrize(
    "detail, parties",
    [
        (EXPIRED, (LOGIN, API)),
        (OTHER_NAME, (LOGIN, API)),
        (NO_ISSUER, (NETWORK, NETWORK)),
        (SELF_SIGNED, (NETWORK, NETWORK)),
        (TOO_EARLY, (UNKNOWN, UNKNOWN)),
    ],
)
def test_the_fault_of_a_certificate_decides(detail: str, parties: tuple[Responsibility, Responsibility]) -> None:
    """An unknown issuer may be that of a proxy that inspects TLS, or a CA that this machine does not have."""
    assert tuple(party(endpoint, Reason.CERTIFICATE, detail=detail) for endpoint in Endpoint) == parties


@pytest.mark.parametrize("reason", sorted(set(Reason) - {Reason.INTERNAL, Reason.NO_TOKEN}))
def test_rejected_credentials_are_ours(reason: Reason) -> None:
    """Servers reject credentials with many statuses."""
    assert party(Endpoint.TOKEN, reason, credentials_rejected=True) is CREDENTIALS


@pytest.mark.parametrize(
    "reason, names_credentials, expected",
    [
        (Reason.UNAUTHORIZED, False, CREDENTIALS),
        (Reason.UNAUTHORIZED, True, CREDENTIALS),
        (Reason.REJECTED_REQUEST, True, CREDENTIALS),
        (Reason.REJECTED_REQUEST, False, UNKNOWN),  # perhaps the field names
        (Reason.FORBIDDEN, True, CREDENTIALS),
        (Reason.SERVER_ERROR, True, CREDENTIALS),
        (Reason.MALFORMED, True, CREDENTIALS),
    ],
)
def test_a_refused_login_concerns_the_credentials_if_it_names_them(
    reason: Reason, *, names_credentials: bool, expected: Responsibility
) -> None:
    """A 401 names them, too."""
    shown = party(
        Endpoint.TOKEN, reason, refused=True, names_credentials=names_credentials, error_code="invalid_request"
    )
    assert shown is expected


@pytest.mark.parametrize("reason", [Reason.UNAUTHORIZED, Reason.FORBIDDEN])
def test_a_rejected_token_is_a_fault_of_the_api(reason: Reason) -> None:
    """The vendor granted the token: a 403 with `invalid_token` concerns no allowlist."""
    assert party(Endpoint.PING, reason, rejects_token=True) is API


@pytest.mark.parametrize("values", [{"submission_id": "1"}, {"error_code": "E1"}])
def test_a_rejected_request_with_an_error_of_the_api_is_one_of_the_api(values: dict[str, str]) -> None:
    """Without such an error, the configured URL may be wrong."""
    assert party(Endpoint.PING, Reason.REJECTED_REQUEST, **values) is API
    assert party(Endpoint.TOKEN, Reason.REJECTED_REQUEST, **values) is LOGIN


@pytest.mark.parametrize("login", Responsibility)
def test_a_missing_token_has_the_party_of_the_login(login: Responsibility) -> None:
    """The failed login is the cause."""
    assert responsible(make_result(reason=Reason.NO_TOKEN), login) is login


def test_no_party_is_responsible_for_a_success() -> None:
    """The caller has to ask about failures only."""
    with pytest.raises(ValueError, match="success"):
        responsible(make_result())


def test_each_party_has_a_text() -> None:
    """The texts differ, so that a reader can tell the parties apart."""
    assert len({each.text for each in Responsibility}) == len(Responsibility)
