"""A fixed salt for the fingerprints of credentials."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from monitor.monitoring import state


@pytest.fixture(autouse=True)
def fixed_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the same salt in every test: with one random salt in 4096, two credentials have the same fingerprint."""
    monkeypatch.setattr(state, "secrets", SimpleNamespace(token_hex=lambda size: "5a" * size))
