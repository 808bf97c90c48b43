"""A simulated TIGR on this machine, for tests, for the demo and for manual trials. The daemon never imports it."""

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
