"""JSON Web Tokens (RFC 7519, HS256): the authorization server signs them, and the Client API verifies them."""

from __future__ import annotations

import secrets
from enum import StrEnum
from typing import Any

_ALGORITHM = "HS256"


class TokenDefect(StrEnum):
    """Defects of a token that APIs respond to differently."""

    MISSING = "missing"
    EXPIRED = "expired"
    INVALID = "invalid"  # revoked, signed by another key, malformed, or not accepted yet


class InvalidTokenError(Exception):
    """The API rejects the token. The text gives the reason and holds no part of the token."""

    def __init__(self, reason: str, defect: TokenDefect = TokenDefect.INVALID) -> None:
        super().__init__(reason)
        self.defect = defect


class SigningKey:
    """A secret that signs tokens and verifies the tokens that it signed."""

    # PyJWT is imported in the methods: the command `demo` imports this package before it reports a missing extra.

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a token with these claims."""
        import jwt

        return jwt.encode(claims, self._secret, _ALGORITHM)

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token that was signed with this key. The caller checks its times.

        Raises InvalidTokenError.
        """
        import jwt

        try:
            # The registry checks the times: its clock may be virtual or wrong on purpose, and PyJWT reads the real one.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                [_ALGORITHM],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidSignatureError:
            raise InvalidTokenError("the signature does not verify") from None
        except (jwt.InvalidTokenError, RecursionError):  # PyJWT parses the header before it verifies the signature
            raise InvalidTokenError("not a JSON Web Token") from None
        return claims
