"""One browser and one installation of axe-core for all tests of the status page."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.web import status_page
from monitor.web.server import WebServer
from tests.support.web import FakePages
from tests.system.page.chromium import Chromium, Tab, chromium

_HERE = Path(__file__).parent
_INSTALL_TIMEOUT = 120.0  # seconds


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the source of axe-core in the version, and with the hash, of the lock file."""
    directory = tmp_path_factory.mktemp("axe")
    for file in _HERE.glob("*.json"):
        shutil.copy(file, directory)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT, check=False)
    assert done.returncode == 0, done.stderr
    return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Yield a running Chromium."""
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    """Yield a new tab; fail if one of its pages had an error or requested something from another host."""
    tab = Tab(browser)
    yield tab
    tab.collect()
    tab.close()
    assert tab.errors == []
    assert [url for url in tab.requested if not url.startswith(("http://127.0.0.1:", "data:", "about:"))] == []


@pytest.fixture
def pages() -> FakePages:
    """Return the content of the page, which a test sets."""
    return FakePages()


@pytest.fixture
def server(pages: FakePages, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """Yield a running server, which renders at each request."""
    monkeypatch.setattr(status_page, "_RENDER_INTERVAL", 0.0)
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    yield server
    server.stop()
