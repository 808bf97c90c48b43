"""The search for secrets: it finds each run of each encoding."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus

import pytest

from tests.support.canaries import CANARIES, leaks, values

pytestmark = pytest.mark.once
RUN = 8  # characters


@pytest.mark.parametrize("secret", [*values(CANARIES), "short"])
def test_each_run_of_eight_characters_is_found(secret: str) -> None:
    """The search finds it between other texts, in each encoding, and reports nothing in a text without a secret."""
    shown = base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]
    for encoded in (secret, quote(secret, safe=""), quote_plus(secret), shown):
        for start in range(max(1, len(encoded) - RUN + 1)):
            run = encoded[start : start + RUN]
            assert run in leaks(f"a text with {run}.", [secret])
    assert leaks("a text without any of them", values(CANARIES)) == []
