"""Fixtures: a simulator without latency, and clients of its `prod`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.simulator import Simulator
from tests.simulator.client import SimulatorClient


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Yield a simulator of both environments, over TLS, without latency."""
    with Simulator() as running:
        for environment in running.environments.values():
            environment.latency = 0.0
        yield running


@pytest.fixture
def client(simulator: Simulator) -> SimulatorClient:
    """Return a client of `prod`."""
    return SimulatorClient(simulator.environment("prod"), simulator.ca_file)


@pytest.fixture
def plain_client() -> Iterator[SimulatorClient]:
    """Yield a client of a single environment without TLS and latency."""
    with Simulator(["prod"], tls=False) as running:
        running.environment("prod").latency = 0.0
        yield SimulatorClient(running.environment("prod"))
