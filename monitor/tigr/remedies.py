"""Explanations of failures: what each usually means, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.log import timestamp
from monitor.model import Endpoint, Reason, Result

SUPPORT = "tigrs@apx.com"  # the contact in the vendor's OpenAPI description


@dataclass(frozen=True, slots=True)
class Explanation:
    """Two sentences or so each."""

    means: str
    next_step: str


_COMPARE = (
    "Do not try by hand: a few more wrong passwords may lock the account. Compare {values} with what the vendor "
    "issued, set them right, and reload or restart the monitor."
)
_BAD_CREDENTIALS = Explanation(
    "The authorization server rejected the client id and secret, or the user name and password.",
    _COMPARE.format(values="the four values"),
)
_BAD_CLIENT = Explanation(
    "The authorization server rejected the client id or the client secret.",
    _COMPARE.format(values="client id and secret"),
)
_BAD_USER = Explanation(
    "The authorization server rejected the user name or the password, or the account is disabled or locked.",
    _COMPARE.format(values="user name and password"),
)
_BY_CODE = {"invalid_client": _BAD_CLIENT, "unauthorized_client": _BAD_CLIENT, "invalid_grant": _BAD_USER}  # RFC 6749
_REFUSED_ONCE = Explanation(
    "The authorization server refused this login. The field names may be wrong, or the credentials.",
    "Wait for the next login: the monitor then sends the other field names. Do not log in by hand.",
)
_NO_RESPONSE = Explanation(
    "Earlier logins got no response, because the monitor ended during them. The server may have counted each of them "
    "as a failed login.",
    "Find out why the monitor ended, and whether the authorization server is slow.",
)
_ANY: Mapping[Reason, Explanation] = {
    Reason.NO_TOKEN: Explanation(
        "There is no valid token to ping with: the login failed, or its token expired before the next login was due.",
        "Fix the login first. If it works, compare the lifetime of its tokens with TIGR_PING_INTERVAL.",
    ),
    Reason.TIMEOUT: Explanation(
        "The host did not answer in time.",
        "Look at the phase it hung in: resolve is your DNS; connect is a firewall that drops packets, or a dead "
        "host; tls and processing are the vendor's side, if other hosts answer you.",
    ),
    Reason.PROXY: Explanation(
        "The HTTP proxy between here and the host is not found, not reachable, or refuses the tunnel. The "
        "vendor was not reached.",
        "Check TIGR_PROXY or HTTPS_PROXY, its user and password, and whether it admits this host.",
    ),
    Reason.DNS: Explanation(
        "The host name did not resolve.",
        "Try another name from this machine. If that works the vendor's zone is at fault, else your resolver is.",
    ),
    Reason.CONNECT: Explanation(
        "The host is not reachable: refused, no route, or reset before TLS began.",
        "Try another host from this machine. If that works, the vendor is down or a firewall stands between.",
    ),
    Reason.CERTIFICATE: Explanation(
        "The server's certificate does not verify: expired, for another name, or from an authority not trusted here.",
        "If it expired, tell the vendor. If a proxy of your own inspects TLS, add its root with TIGR_CA_FILE. "
        "Never switch verification off: the password would go to whoever answers.",
    ),
    Reason.TLS: Explanation(
        "The TLS handshake failed, though not for the certificate: no common version, or a middlebox broke it.",
        "Look for such a box, or a TLS change at the vendor; at least TLS 1.2 is spoken here.",
    ),
    Reason.DISCONNECT: Explanation(
        "The connection broke before a whole answer had come, or what came was not HTTP.",
        "Usually a restarting server or a middlebox. If it lasts, tell the vendor when it began.",
    ),
    Reason.UNAUTHORIZED: Explanation(
        "The Client API does not accept the token.",
        "If the login works, other clients of the same user may be revoking each other's tokens, or the vendor rotated "
        f"its keys: ask the vendor ({SUPPORT}), with the submissionId.",
    ),
    Reason.FORBIDDEN: Explanation(
        "The server refuses this client: suspect the vendor's list of admitted IP addresses first.",
        "Compare the address you come from with the one the vendor admitted (it may have changed), then ask the vendor "
        f"({SUPPORT}) to put it on the list.",
    ),
    Reason.RATE_LIMITED: Explanation(
        "The server is too busy, or too much was asked of it under its acceptable-use policy.",
        "The monitor waits by itself. See what else uses the same user, and slow that down.",
    ),
    Reason.REJECTED_REQUEST: Explanation(
        "The server does not take the request as it is sent.",
        "Check the configured URLs. If they are right, the vendor may have changed its interface: see its own message.",
    ),
    Reason.SERVER_ERROR: Explanation(
        "The vendor's server fails on its own.",
        f"Wait, then ask the vendor ({SUPPORT}), with the submissionId if there is one.",
    ),
    Reason.UNEXPECTED_STATUS: Explanation(
        "The server answered with a status that the interface does not have. A redirect is never followed, so that no "
        "password or token goes to another host.",
        "Check the configured URLs: the vendor may have moved the service, or a login page of your network answers.",
    ),
    Reason.MALFORMED: Explanation(
        "The server answered 200, but not with what its interface promises.",
        "Suspect a maintenance page or a middlebox in the vendor's place; check the configured URLs.",
    ),
    Reason.INTERNAL: Explanation(
        "A fault of the monitor's own.", "Report it with this line; it holds no secret. The next turn tries again."
    ),
}


def explain(result: Result) -> Explanation:
    """Return what a failed `result` usually means. It must not be a success."""
    if result.reason is None:
        raise ValueError("a success needs no explanation")
    if result.credentials_rejected:
        return _with_hint(_BY_CODE.get(result.error_code or "", _BAD_CREDENTIALS), result)
    if result.rejects_token:  # also as a 403, which names the address otherwise
        return _ANY[Reason.UNAUTHORIZED]
    if result.refused:
        return _with_hint(_REFUSED_ONCE, result)
    if result.endpoint is Endpoint.TOKEN and result.reason is Reason.UNAUTHORIZED:  # not sent: each 401 is a refusal
        return _NO_RESPONSE
    return _ANY[result.reason]


def _with_hint(explanation: Explanation, result: Result) -> Explanation:
    """Add that HTTP Basic may be the cause, if its two forms differ for these credentials."""
    if result.other_client_auth is None:
        return explanation
    setting = f"TIGR_ENVIRONMENTS__{result.environment.upper()}__CLIENT_AUTH={result.other_client_auth}"
    hint = (
        "The client id or secret has characters that servers read in two ways (HTTP Basic, RFC 6749 section 2.3.1): "
        f"if all four values are right, try {setting}."
    )
    return Explanation(explanation.means, f"{explanation.next_step} {hint}")


def next_login(result: Result) -> str:
    """Return when the next login is, and how many more may carry rejected credentials; empty if nothing delays it."""
    if result.suppressed_until is None:
        return ""
    if math.isinf(result.suppressed_until):
        return (
            "logins have stopped, so that no account is locked; they resume when the credentials change, and a reload "
            "(SIGHUP, once per rejection) or SIGUSR1 allows one login"
        )
    text = f"no login before {timestamp(result.suppressed_until)}"
    if result.attempts_left is None:
        return text
    requests = "request" if result.attempts_left == 1 else "requests"
    return (
        f"{text}, and {result.attempts_left} more {requests} with these credentials before logins stop; changed "
        "credentials end the pause, and a reload (SIGHUP, once per rejection) or SIGUSR1 allows one login"
    )
