"""Links to the runbook: each panel has one to the section of every alert that its values can fire."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

RULES = Path(__file__).parents[1] / "prometheus" / "rules"

# Beginnings of the names of alerts, by the title of the panel.
_ALERTS: Mapping[str, tuple[str, ...]] = {
    "Ping": ("TigrPingFailing",),
    "Login": ("TigrLoginFailing", "TigrCredentialsRejected"),
    "Token left": ("TigrNoToken", "TigrTokenHeadroom"),
    "Firing alerts": ("TigrEveryEnvironmentFailing", "TigrWatchdog"),
    "Monitor": ("TigrMonitor",),
    "Client API host": ("TigrApi",),
    "Requests by outcome": ("TigrForbidden", "TigrRateLimited"),
    "Ping burn rate": ("TigrErrorBudget",),
    "Login burn rate": ("TigrErrorBudget",),
    "Ping latency": ("TigrPingLatency",),
    "Login latency": ("TigrTokenLatency", "TigrLoginLatency"),
    "Headroom and lifetime": ("TigrTokenLifetime",),
    "401 responses and rejected tokens": ("TigrTokenRejected",),
    "Certificates expire in": ("TigrCertificate",),
    "Clock offset": ("TigrClock",),
    "Age of the data": ("TigrDataStale", "TigrNeverAttempted"),
    "Delay": ("TigrRunsLate",),
    "Missed runs": ("TigrRunsMissed",),
    "Settings": ("TigrConfig",),
}


def _sections() -> dict[str, str]:
    """Return the address of the section of each alert, as the rules name it."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.yml"))]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}


def link(title: str, url: str) -> Builder[models.DashboardLink]:
    """Return a link that opens in a new tab."""
    return builders.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).target_blank(target_blank=True)


def of_panel(title: str) -> list[Builder[models.DashboardLink]]:
    """Return the links of a panel."""
    beginnings = _ALERTS.get(title)
    return [link(name, url) for name, url in _sections().items() if beginnings and name.startswith(beginnings)]


def of_dashboard() -> list[Builder[models.DashboardLink]]:
    """Return the links at the top of the dashboard: the runbook, and Grafana's list of the alerts."""
    runbook, _, _ = next(iter(_sections().values())).partition("#")
    return [link("Runbook", runbook), link("Alerts", "/alerting/list?search=Tigr")]
