"""The messages that Alertmanager sends: the payload for Slack and the e-mail, received over the network."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.process import free_port, wait_for
from tests.system.conftest import Programs
from tests.system.prometheus import rulefiles
from tests.system.prometheus.mail_server import MailServer
from tests.system.prometheus.stack import Receivers, alertmanager, faster_routes

pytestmark = [pytest.mark.system, pytest.mark.needs("prometheus-alertmanager"), pytest.mark.timeout(120)]

PING = "prod: ping has failed since 02:14:05 UTC, reason: server_error (api.example)"
REJECTED = "prod: TIGR rejected our credentials (login.example); next attempt at 2026-01-02 03:04:05 UTC"
RATE = "nar: ping got status 429, too many requests (api.nar.example); the monitor delays the next attempt"
WATCHDOG_FACTOR = 30.0
FOLDER_URL = "https://git.example.net/tigr-monitor/blob/main/prometheus/RUNBOOK.md#"


@dataclass(frozen=True, slots=True)
class Messages:
    """A running Alertmanager and the servers that receive its messages."""

    url: str
    slack: Receivers
    mail: MailServer

    def send(self, name: str, environment: str, severity: str, summary: str, *, over: bool = False) -> None:
        """Send an alert with the annotations of the shipped rule, as Prometheus does."""
        now = datetime.now(UTC)
        shipped = rulefiles.alerts().get(name, {}).get("annotations", {})
        annotations = shipped | {"summary": f"{summary}.", "host": "api.example"}
        alert = {
            "labels": {
                "alertname": name,
                "environment": environment,
                "instance": "127.0.0.1:9844",
                "severity": severity,
            },
            "annotations": annotations,
            "startsAt": (now - timedelta(minutes=1)).isoformat(),
            "endsAt": (now if over else now + timedelta(minutes=10)).isoformat(),
        }
        request = urllib.request.Request(  # noqa: S310 - a loopback URL
            f"{self.url}/api/v2/alerts", json.dumps([alert]).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - a loopback URL
            assert response.status == 200

    def next_mail(self, count: int) -> tuple[str, str, str]:
        """Return subject, text and HTML of this e-mail, counted from 1."""
        wait_for(lambda: len(self.mail.messages) >= count, f"e-mail {count}")
        message = self.mail.messages[count - 1]
        plain, page = (message.get_body((subtype,)) for subtype in ("plain", "html"))
        assert plain is not None
        assert page is not None
        return str(message["Subject"]), plain.get_content(), page.get_content()

    def next_slack(self, count: int) -> Mapping[str, Any]:
        """Return the attachment of this message to Slack, counted from 1."""
        wait_for(lambda: len(self.slack.bodies) >= count, f"Slack message {count}")
        (attachment,) = self.slack.bodies[count - 1]["attachments"]
        contents: Mapping[str, Any] = attachment
        return contents


def _config(slack: str, mail: int) -> dict[str, Any]:
    """Return the shipped configuration for these servers, with short waits."""
    config = rulefiles.load(rulefiles.FOLDER / "alertmanager.yml")
    config["templates"] = [str(rulefiles.FOLDER / "templates" / "tigr.tmpl")]
    for route in [config["route"], *config["route"]["routes"]]:
        route |= {"group_wait": "1s", "group_interval": "2s"}
    pager, chat, _ = config["receivers"]
    del pager["webhook_configs"]
    (email,) = pager["email_configs"]
    del email["auth_username"], email["auth_password_file"]
    email |= {"smarthost": f"127.0.0.1:{mail}", "require_tls": False}
    (to_slack,) = chat["slack_configs"]
    del to_slack["api_url_file"]
    to_slack["api_url"] = slack
    return config


@pytest.fixture
def messages(programs_of_debian: Programs, tmp_path: Path) -> Iterator[Messages]:
    """Yield a running Alertmanager with both servers."""
    program = programs_of_debian.path("prometheus-alertmanager")
    port = free_port()
    with Receivers() as slack, MailServer() as mail:
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(_config(slack.url, mail.port)))
        with alertmanager(tmp_path, port, program):
            yield Messages(f"http://127.0.0.1:{port}", slack, mail)


def test_a_page_by_email_and_its_end(messages: Messages) -> None:
    """The e-mail has the cause in its subject, all that a person needs in its body, and no end time when it is over."""
    messages.send("TigrPingFailing", "prod", "critical", PING)
    subject, text, page = messages.next_mail(1)
    assert subject == f"[PAGE] {PING}"
    expected = (
        f"{PING}.",
        rulefiles.alerts()["TigrPingFailing"]["annotations"]["description"],
        "Host: api.example",
        f"{FOLDER_URL}tigrpingfailing",
        "https://grafana.example.net/d/tigr-connectivity?var-environment=prod",
        "http://127.0.0.1:9844/",
        "sudo /opt/tigr-monitor/bin/tigr-monitor evidence",
    )
    for part in expected:
        assert part in text
        assert part in page
    messages.send("TigrPingFailing", "prod", "critical", PING, over=True)
    subject, text, page = messages.next_mail(2)
    assert subject == f"[over] no longer firing, it was: {PING}"
    assert text.strip() == f"No longer firing, it was: {PING}."
    assert f"<p>No longer firing, it was: {PING}.</p>" in page


def test_several_alerts_are_counted_and_rejected_credentials_have_a_warning(messages: Messages) -> None:
    """The subject has one alert and the number of others; the body has all of them."""
    messages.send("TigrCredentialsRejected", "prod", "critical", REJECTED)
    messages.send("TigrPingFailing", "prod", "critical", PING)
    messages.next_mail(1)
    wait_for(lambda: any("(+1 more)" in str(m["Subject"]) for m in messages.mail.messages), "an e-mail about both")
    count = next(index for index, m in enumerate(messages.mail.messages, 1) if "(+1 more)" in str(m["Subject"]))
    subject, text, page = messages.next_mail(count)
    assert subject in (f"[PAGE] {PING} (+1 more)", f"[PAGE] {REJECTED} (+1 more)")
    assert all(f"{summary}." in body for summary in (PING, REJECTED) for body in (text, page))
    assert all(body.count("Do not log in by hand") == 1 for body in (text, page))


def test_a_ticket_in_slack_and_its_end(messages: Messages) -> None:
    """The payload for Slack has the same texts, and a color for tickets and for the end."""
    messages.send("TigrRateLimited", "nar", "warning", RATE)
    first = messages.next_slack(1)
    assert first["title"] == first["fallback"] == f"[TICKET] {RATE}"
    assert first["color"] == "warning"
    assert f"{FOLDER_URL}tigrratelimited" in first["text"]
    assert "Host: api.example" in first["text"]
    messages.send("TigrRateLimited", "nar", "warning", RATE, over=True)
    last = messages.next_slack(2)
    assert last["title"] == f"[over] no longer firing, it was: {RATE}"
    assert last["color"] == "good"


def test_the_watchdog_is_sent_at_every_interval(programs_of_testing: Programs, tmp_path: Path) -> None:
    """With a thirtieth of the shipped intervals, no message is left out: with equal intervals, every second one is."""
    program, port = programs_of_testing.path("prometheus-alertmanager"), free_port()
    with Receivers() as receivers, MailServer() as mail:
        config = faster_routes(receivers.url, WATCHDOG_FACTOR)
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config))
        with alertmanager(tmp_path, port, program):
            messages = Messages(f"http://127.0.0.1:{port}", receivers, mail)
            messages.send("TigrWatchdog", "", "none", "It always fires")
            wait_for(lambda: len(receivers.messages) > 4, "five messages")
    times = [message.received for message in receivers.messages]
    shortest = min(later - earlier for earlier, later in itertools.pairwise(times))
    assert shortest < 1.5 * 60 / WATCHDOG_FACTOR
