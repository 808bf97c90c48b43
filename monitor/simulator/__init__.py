"""A TIGR that runs on this machine: for tests, for the demo, and to try by hand. Never imported by the daemon."""

from monitor.simulator.fault_switch import FaultSwitch
from monitor.simulator.faults import CertificateVariant
from monitor.simulator.registry import SimulatedCredentials
from monitor.simulator.request_log import Host, RequestLog, RequestRecord
from monitor.simulator.simulator import Latency, SimulatedEnvironment, Simulator

__all__ = [
    "CertificateVariant",
    "FaultSwitch",
    "Host",
    "Latency",
    "RequestLog",
    "RequestRecord",
    "SimulatedCredentials",
    "SimulatedEnvironment",
    "Simulator",
]
