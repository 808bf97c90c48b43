"""The servers of a test session, which installs and starts each once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.system.servers.real import (
    NODE_SERVERS,
    PYTHON_SERVERS,
    OAuthServer,
    install_node,
    install_python,
    node_server,
    python_server,
)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OAuthServer]]:
    """Yield every server that this machine can run, by name; those on Node.js only if npm is installed."""
    logs = tmp_path_factory.mktemp("server-logs")
    python = install_python(tmp_path_factory.mktemp("python-servers"))
    started = {name: python_server(name, python, logs) for name in PYTHON_SERVERS}
    if shutil.which("node") and shutil.which("npm"):
        directory = tmp_path_factory.mktemp("node-servers")
        install_node(directory)
        started |= {name: node_server(name, directory, logs) for name in NODE_SERVERS}
    with ExitStack() as stack:
        for server in started.values():
            stack.callback(server.stop)
            server.launch()
        for server in started.values():
            server.wait_until_ready()
        yield started


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: dict[str, OAuthServer]) -> OAuthServer:
    """Return the server that the test names."""
    return servers[request.param]
