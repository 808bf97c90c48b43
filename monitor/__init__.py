"""Connectivity monitoring for the TIGR Registry Client API."""

from importlib.metadata import version

__version__ = version("tigr-monitor")
