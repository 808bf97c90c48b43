"""A TIGR that runs on this machine: for tests, for the demo, and to try by hand. Never imported by the daemon."""

from monitor.simulator.faults import CertificateVariant
from monitor.simulator.log import Host, RequestLog, RequestRecord
from monitor.simulator.registry import SimulatedCredentials
from monitor.simulator.simulator import Latency, SimulatedEnvironment, Simulator
from monitor.simulator.switch import FaultSwitch

__all__ = [
    "CertificateVariant",
    "SimulatedCredentials",
    "SimulatedEnvironment",
    "FaultSwitch",
    "Host",
    "Latency",
    "RequestRecord",
    "RequestLog",
    "Simulator",
]
