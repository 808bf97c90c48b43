"""The memory of the reports: latest results, history and journal of all environments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monitor.clock import Clock
from monitor.hosts import origin_of
from monitor.model import Endpoint, HostCheck, Result
from monitor.reporting.history import History
from monitor.reporting.journal import Journal, TimeSource
from monitor.reporting.journal_writer import JournalWriter
from monitor.reporting.latest import LatestResults
from monitor.tigr.client import PING_PATH

if TYPE_CHECKING:
    from monitor.config.settings import EnvironmentSettings


class Recorder:
    """Passes Results and changes of settings to all that reports are made from. Thread-safe."""

    def __init__(self, times: TimeSource, directory: Path | None, clock: Clock) -> None:
        """Keep the journal in `directory`; if it is None, in memory only."""
        self.latest = LatestResults()
        self.history = History()
        self.journal = Journal(times, clock, is_loaded=directory is None)
        self.writer = JournalWriter(self.journal, directory, clock)

    def start(self) -> None:
        """Load the journal, and save its changes from now on."""
        self.writer.start()

    def close(self) -> None:
        """Save the journal for the last time, within two seconds."""
        self.writer.close()

    def use(self, settings: EnvironmentSettings, old: EnvironmentSettings | None) -> None:
        """Add an environment, or replace its `old` settings."""
        urls = urls_of(settings)
        if old is not None:
            for endpoint, url in urls_of(old).items():
                if origin_of(url) != origin_of(urls[endpoint]):
                    self.latest.forget(settings.name, endpoint)
        self.journal.use(settings.name, urls)

    def remove(self, environment: str) -> None:
        """Discard a removed environment. Its incidents stay in the journal."""
        self.latest.remove(environment)
        self.history.remove(environment)
        self.journal.remove(environment)

    def record(self, result: Result) -> None:
        """Keep a Result, after the metrics have added its time."""
        self.latest.record(result)
        self.history.record(result)
        self.journal.record(result)

    def token_host_checked(self, check: HostCheck) -> None:
        """Keep the certificates that a check of a token host has seen."""
        self.latest.token_host_checked(check)

    def certificate_seen(self, environment: str, endpoint: Endpoint, expiry: float) -> None:
        """Keep the expiry (Unix seconds) of a certificate that failed verification."""
        self.latest.certificate_seen(environment, endpoint, expiry)


def urls_of(settings: EnvironmentSettings) -> dict[Endpoint, str]:
    """Return the URLs of both requests."""
    return {Endpoint.TOKEN: settings.token_url, Endpoint.PING: settings.api_url + PING_PATH}
