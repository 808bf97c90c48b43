"""JSON Web Tokens as the authorization server would sign them (RFC 7519, HS256), and their check by the API."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from enum import StrEnum
from typing import Any


class TokenDefect(StrEnum):
    """Defects of a token that APIs respond to differently."""

    MISSING = "missing"
    EXPIRED = "expired"
    INVALID = "invalid"  # revoked, signed by another key, malformed, or not accepted yet


class InvalidTokenError(Exception):
    """The token is none of ours; the text says why, and holds no part of it."""

    def __init__(self, why: str, defect: TokenDefect = TokenDefect.INVALID) -> None:
        super().__init__(why)
        self.defect = defect


class SigningKey:
    """A secret that signs tokens and recognizes its own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, claims: dict[str, Any]) -> str:
        """Make a token of these claims."""
        signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{signed}.{_base64(self._signature(signed))}"

    def claims(self, token: str) -> dict[str, Any]:
        """What the token says, if it was signed with this key.

        Raises InvalidTokenError.
        """
        signed, _, signature = token.rpartition(".")
        if signed.count(".") != 1:
            raise InvalidTokenError("not a JSON Web Token")
        if not hmac.compare_digest(signature.encode(), _base64(self._signature(signed)).encode()):
            raise InvalidTokenError("the signature does not verify")
        payload = signed.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims

    def _signature(self, signed: str) -> bytes:
        return hmac.digest(self._secret, signed.encode("utf-8", "surrogateescape"), hashlib.sha256)


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
