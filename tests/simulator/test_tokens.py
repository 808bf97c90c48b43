"""Tokens of the simulator: a key verifies its own tokens and rejects every other text."""

from __future__ import annotations

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.simulator.tokens import InvalidTokenError, SigningKey

pytestmark = pytest.mark.once

KEY = SigningKey()
CLAIMS = {"sub": "simulated", "iat": 4_000_000_000, "exp": 1_000, "jti": "1"}


def encoded(data: bytes) -> str:
    """Return base64 for URLs without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_key_returns_the_claims_that_it_signed() -> None:
    """The times of a token are not checked, in the future or in the past."""
    assert KEY.claims(KEY.sign(CLAIMS)) == CLAIMS


def test_another_key_rejects_a_token() -> None:
    """The error names the signature."""
    with pytest.raises(InvalidTokenError, match="the signature does not verify"):
        SigningKey().claims(KEY.sign(CLAIMS))


def test_a_token_without_a_signature_is_rejected() -> None:
    """The algorithm `none` does not replace the signature."""
    header, payload = encoded(b'{"alg": "none"}'), KEY.sign(CLAIMS).split(".")[1]
    with pytest.raises(InvalidTokenError, match="not a JSON Web Token"):
        KEY.claims(f"{header}.{payload}.")


@given(st.text() | st.binary().map(lambda header: f"{encoded(header)}.{encoded(b'{}')}."))
@example(f"{encoded(b'[' * 20_000)}.{encoded(b'{}')}.")
def test_any_other_text_is_rejected(token: str) -> None:
    """No text raises another error than InvalidTokenError, a deeply nested header included."""
    with pytest.raises(InvalidTokenError):
        KEY.claims(token)
