"""Explanations of failures: the usual meaning and the next step of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.log import timestamp
from monitor.model import Endpoint, Reason, Result

SUPPORT = "tigrs@apx.com"  # the contact in the vendor's OpenAPI description


@dataclass(frozen=True, slots=True)
class Explanation:
    """The usual meaning of a failure, and the next step for an operator: a few sentences each."""

    means: str
    next_step: str


_COMPARE = (
    "Do not log in by hand: a few more wrong passwords may lock the account. Compare {values} with the values that the "
    "vendor issued, correct them, and reload or restart the monitor."
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
        "The host did not respond within the timeout.",
        "Check the phase that failed. resolve: your DNS. connect: a firewall that drops packets, or a dead "
        "host. tls and processing: the vendor's side, if other hosts respond to you.",
    ),
    Reason.PROXY: Explanation(
        "The HTTP proxy does not resolve, is not reachable, or refused the tunnel. No request reached the vendor.",
        "Check TIGR_PROXY or HTTPS_PROXY, the proxy's user and password, and whether the proxy permits this host.",
    ),
    Reason.DNS: Explanation(
        "The host name did not resolve.",
        "Look up another name from this machine. If that works, the vendor's DNS zone is at fault; if not, your "
        "resolver is.",
    ),
    Reason.CONNECT: Explanation(
        "The host is not reachable: the connection was refused or reset before TLS began, or there is no route.",
        "Connect to another host from this machine. If that works, the vendor is down or a firewall blocks the way.",
    ),
    Reason.CERTIFICATE: Explanation(
        "The server's certificate failed verification: it has expired, is for another name, or its CA is not trusted "
        "on this machine.",
        "If it has expired, inform the vendor. If a proxy of your own inspects TLS, add its CA certificate with "
        "TIGR_CA_FILE. Never disable verification: the password could go to an impostor.",
    ),
    Reason.TLS: Explanation(
        "TLS failed, but not because of the server's certificate: there is no common version, the server wants a "
        "client certificate, or a middlebox interfered.",
        "Look for a middlebox, or for a TLS change at the vendor. The monitor requires TLS 1.2 or newer. If the server "
        "wants a client certificate, set CLIENT_CERT and CLIENT_KEY of the environment.",
    ),
    Reason.DISCONNECT: Explanation(
        "The connection broke before the response was complete, or the response was not HTTP.",
        "The usual cause is a server that restarts, or a middlebox. If it lasts, report the start time to the vendor.",
    ),
    Reason.UNAUTHORIZED: Explanation(
        "The Client API does not accept the token.",
        "If the login works, other clients of the same user may revoke each other's tokens, or the vendor has rotated "
        f"its keys: ask the vendor ({SUPPORT}) and quote the submissionId.",
    ),
    Reason.FORBIDDEN: Explanation(
        "The server refuses this client. Check the vendor's allowlist of IP addresses first.",
        "Compare your outgoing IP address, which may have changed, with the one on the allowlist. Then ask the vendor "
        f"({SUPPORT}) to add it.",
    ),
    Reason.RATE_LIMITED: Explanation(
        "The server is too busy, or the requests exceed its acceptable-use policy.",
        "The monitor waits by itself. Find other clients of the same user, and reduce their requests.",
    ),
    Reason.REJECTED_REQUEST: Explanation(
        "The server does not accept the form of the request.",
        "Check the configured URLs. If they are right, the vendor may have changed its interface: read its message.",
    ),
    Reason.SERVER_ERROR: Explanation(
        "The vendor's server reports an internal error.",
        f"Wait. If it lasts, ask the vendor ({SUPPORT}) and quote the submissionId if there is one.",
    ),
    Reason.UNEXPECTED_STATUS: Explanation(
        "The server responded with a status that the interface does not document. The monitor never follows a "
        "redirect, so that no password or token goes to another host.",
        "Check the configured URLs: the vendor may have moved the service, or a login page of your network responded.",
    ),
    Reason.MALFORMED: Explanation(
        "The server responded with status 200, but not with the documented body.",
        "The usual cause is a maintenance page, or the response of a middlebox. Check the configured URLs.",
    ),
    Reason.INTERNAL: Explanation(
        "The monitor itself has failed, or its machine has no file descriptor, memory or thread left for it. The state "
        "of the vendor is unknown.",
        "If the detail names a limit, find the program that uses it up, or raise the limit (systemd: LimitNOFILE, "
        "MemoryMax, TasksMax). If not, report this line, which contains no secret. The next run tries again.",
    ),
}


def explain(result: Result) -> Explanation:
    """Return the explanation of a failed `result`. Raises `ValueError` for a success."""
    if result.verdict.reason is None:
        raise ValueError("a success has no explanation")
    if result.run.credentials_rejected:
        return _with_hint(explain_rejection(result.verdict.error_code), result)
    if result.verdict.rejects_token:  # also as a 403, which names the address otherwise
        return _ANY[Reason.UNAUTHORIZED]
    if result.verdict.refused:
        return _with_hint(_REFUSED_ONCE, result)
    if (
        result.endpoint is Endpoint.TOKEN and result.verdict.reason is Reason.UNAUTHORIZED
    ):  # not sent: each 401 is a refusal
        return _NO_RESPONSE
    return _ANY[result.verdict.reason]


def explain_rejection(error_code: str | None) -> Explanation:
    """Return the explanation of a login whose credentials were rejected, by the server's error code."""
    return _BY_CODE.get(error_code or "", _BAD_CREDENTIALS)


def _with_hint(explanation: Explanation, result: Result) -> Explanation:
    """Return `explanation` with a hint to the two forms of HTTP Basic, if they differ for these credentials."""
    if result.verdict.other_client_auth is None:
        return explanation
    setting = f"TIGR_ENVIRONMENTS__{result.environment.upper()}__CLIENT_AUTH={result.verdict.other_client_auth}"
    hint = (
        "The client id or secret contains characters that servers decode in two ways (HTTP Basic, RFC 6749 section "
        f"2.3.1): if all four values are right, try {setting}."
    )
    return Explanation(explanation.means, f"{explanation.next_step} {hint}")


_AVOID_LOGINS = (
    "Until the values are corrected, do not restart the monitor, delete its state directory or repeat the check: each "
    "request with a wrong password may lock the account."
)
_AVOID_REQUESTS = "Do not repeat the check at once: each request counts toward the server's limit."


def avoid(result: Result) -> str:
    """Return a warning of steps that make a failure worse; empty if there is none."""
    rejected = result.run.credentials_rejected or result.verdict.refused
    if rejected or (result.endpoint is Endpoint.TOKEN and result.verdict.reason is Reason.UNAUTHORIZED):
        return _AVOID_LOGINS
    return _AVOID_REQUESTS if result.verdict.reason is Reason.RATE_LIMITED else ""


def next_login(result: Result) -> str:
    """Return a text with the time of the next login and the attempts left; empty if no login is suppressed."""
    if result.run.suppressed_until is None:
        return ""
    if math.isinf(result.run.suppressed_until):
        return (
            "logins have stopped, so that the account is not locked; they resume when the credentials change, and a "
            "reload (SIGHUP, once per rejection) or SIGUSR1 allows one login"
        )
    text = f"no login before {timestamp(result.run.suppressed_until)}"
    if result.run.attempts_left is None:
        return text
    requests = "request" if result.run.attempts_left == 1 else "requests"
    return (
        f"{text}, and {result.run.attempts_left} more {requests} with these credentials before logins stop; changed "
        "credentials end the pause, and a reload (SIGHUP, once per rejection) or SIGUSR1 allows one login"
    )
