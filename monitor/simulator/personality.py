"""A personality: the checks and the responses of one authorization server, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from monitor.simulator.basic_auth import RAW, BasicDecoding
from monitor.simulator.message import SimulatedResponse
from monitor.simulator.tokens import TokenDefect

# The status message of a refused login, from the vendor's page.
VENDOR_SENTENCE = "Bad Request - Invalid Login ID or Password"

# The field names that a token endpoint accepts. `either`: exactly one of the two pairs; `any_case`: the server ignores
# case. A form with both pairs is always refused.
FieldNames = Literal["documented", "rfc6749", "either", "any_case"]


class Check(StrEnum):
    """One of the checks of a login."""

    CLIENT = "client"
    FIELDS = "fields"  # the form has a user name and a password
    USER = "user"


class Cause(StrEnum):
    """Causes of a refused login that servers respond to differently."""

    REQUEST = "request"  # method, content type, form or grant type
    MISSING_FIELD = "missing_field"
    WRONG_PASSWORD = "wrong_password"  # or an unknown user
    DISABLED = "disabled"  # the account is disabled
    WRONG_SECRET = "wrong_secret"  # or no client credentials
    UNKNOWN_CLIENT = "unknown_client"
    UNDECODABLE = "undecodable"  # client credentials with a character that the server does not decode


@dataclass(frozen=True, slots=True)
class LoginRules:
    """The checks of a token endpoint in their order, the field names and the decoding of HTTP Basic."""

    field_names: FieldNames = "rfc6749"
    checks: tuple[Check, ...] = (Check.CLIENT, Check.FIELDS, Check.USER)
    basic: BasicDecoding = RAW


@dataclass(frozen=True, slots=True)
class Personality:
    """The behaviour of one server. The comment of a response names its value if it is None."""

    name: str
    missing_field: SimulatedResponse
    wrong_password: SimulatedResponse
    wrong_secret: SimulatedResponse
    unknown_client: SimulatedResponse | None = None  # wrong_secret
    undecodable: SimulatedResponse | None = None  # wrong_secret
    disabled: SimulatedResponse | None = None  # wrong_password, which a locked account always has
    other: SimulatedResponse | None = None  # to a malformed request; the error of RFC 6749
    rules: LoginRules = LoginRules()
    ping: Mapping[TokenDefect, SimulatedResponse] | None = None  # the vendor's ErrorContainer
    token_delay: float = 0.0  # seconds until the ping accepts a new token

    def response(self, cause: Cause) -> SimulatedResponse | None:
        """Return the response to a login that was refused for this cause."""
        responses = {
            Cause.REQUEST: self.other,
            Cause.MISSING_FIELD: self.missing_field,
            Cause.WRONG_PASSWORD: self.wrong_password,
            Cause.DISABLED: self.disabled or self.wrong_password,
            Cause.WRONG_SECRET: self.wrong_secret,
            Cause.UNKNOWN_CLIENT: self.unknown_client or self.wrong_secret,
            Cause.UNDECODABLE: self.undecodable or self.wrong_secret,
        }
        return responses[cause]
