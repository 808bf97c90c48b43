"""Responsibility for a failure: the party that can end it, derived from a failed Result."""

from __future__ import annotations

from monitor.model import Endpoint, Phase, Reason, Responsibility, Result

_OWNERS = {Endpoint.TOKEN: Responsibility.LOGIN, Endpoint.PING: Responsibility.API}
_NETWORK_PHASES = frozenset({Phase.RESOLVE, Phase.CONNECT})
# Reasons that show a fault of the host itself: it was reached, and it broke the protocol or reported an error.
_OF_THE_HOST = frozenset({Reason.TIMEOUT, Reason.TLS, Reason.DISCONNECT, Reason.SERVER_ERROR})
_OF_THE_NETWORK = frozenset({Reason.DNS, Reason.CONNECT, Reason.PROXY, Reason.FORBIDDEN})
# Parts of OpenSSL's messages about a certificate whose issuer is trusted. Every other message may be about the
# certificate of a proxy that inspects TLS, or about a CA that is missing on this machine.
_FAULTS_OF_THE_CERTIFICATE = ("expired", "mismatch")
_NOT_YET_VALID = "not yet valid"  # the clock of either side may be wrong


def responsible(result: Result, login: Responsibility = Responsibility.UNKNOWN) -> Responsibility:
    """Return the party that can probably end the failure of `result`. Raises `ValueError` for a success.

    A ping without a token takes the responsibility for the failed `login`.
    """
    reason, verdict = result.verdict.reason, result.verdict
    if reason is None:
        raise ValueError("no party is responsible for a success")
    if reason is Reason.INTERNAL:
        return Responsibility.MONITOR
    if reason is Reason.NO_TOKEN:
        return login
    if result.run.credentials_rejected or (verdict.refused and verdict.names_credentials):
        return Responsibility.CREDENTIALS
    if verdict.rejects_token:  # the monitor sent a token that the vendor had granted
        return _OWNERS[result.endpoint]
    return _by_reason(reason, result, _OWNERS[result.endpoint])


def _by_reason(reason: Reason, result: Result, owner: Responsibility) -> Responsibility:
    verdict = result.verdict
    if reason is Reason.UNAUTHORIZED:
        return _of_unauthorized(result)
    if reason is Reason.CERTIFICATE:
        return _of_certificate(verdict.detail, owner)
    has_no_connection = reason is Reason.TIMEOUT and result.measurement.failed_phase in _NETWORK_PHASES
    if reason in _OF_THE_NETWORK or has_no_connection:
        return Responsibility.NETWORK
    if reason in _OF_THE_HOST:
        return owner
    if reason is Reason.REJECTED_REQUEST and not verdict.refused and (verdict.submission_id or verdict.error_code):
        return owner  # its own error message shows that the URL is right
    # 429: the server is busy, or another program of the same user. The rest may come from a wrong URL, from a
    # maintenance page or from a middlebox, and a single refused login from the field names.
    return Responsibility.UNKNOWN


def _of_unauthorized(result: Result) -> Responsibility:
    if result.endpoint is Endpoint.PING:
        return Responsibility.API
    # Each 401 to a login is a refusal. Without a refusal no request was sent, because the monitor ended during others.
    return Responsibility.CREDENTIALS if result.verdict.refused else Responsibility.MONITOR


def _of_certificate(detail: str, owner: Responsibility) -> Responsibility:
    text = detail.lower()
    if _NOT_YET_VALID in text:
        return Responsibility.UNKNOWN
    if any(part in text for part in _FAULTS_OF_THE_CERTIFICATE):
        return owner
    return Responsibility.NETWORK
