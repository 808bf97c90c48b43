"""A TIGR that runs on this machine: for tests, for the demo, and to try by hand. Never imported by the daemon."""

from monitor.simulator.faults import CertificateKind
from monitor.simulator.log import Host, Record, RequestLog
from monitor.simulator.registry import Credentials
from monitor.simulator.simulator import Environment, Latency, Simulator
from monitor.simulator.switch import Faults

__all__ = [
    "CertificateKind",
    "Credentials",
    "Environment",
    "Faults",
    "Host",
    "Latency",
    "Record",
    "RequestLog",
    "Simulator",
]
