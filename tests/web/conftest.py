"""Fixtures of the tests of the web server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.web import Authority, FakePages, settle


@pytest.fixture
def pages() -> FakePages:
    """Return pages without a fault."""
    return FakePages()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return the authority that issued the server's certificate."""
    authority = Authority(tmp_path)
    settle(*authority.issue("server", "127.0.0.1", "localhost"))
    return authority


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the path of the web configuration."""
    return tmp_path / "web.yml"
