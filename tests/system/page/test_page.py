"""The status page in Chromium: each state, accessibility, updates, and operation without JavaScript."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from monitor.web.server import WebServer
from tests.support.checkout import ROOT
from tests.support.overviews import (
    NOW,
    make_endpoint,
    make_environment,
    make_failed_environment,
    make_overview,
    make_probe,
)
from tests.support.page_states import STATES, api_down, both_down, hostile, well
from tests.support.web import FakePages
from tests.system.page.chromium import PROGRAM, Chromium, Tab, chromium

pytestmark = [pytest.mark.system, pytest.mark.needs(PROGRAM, "npm"), pytest.mark.timeout(180)]

SCREENSHOTS = ROOT / "build" / "screenshots"
DESKTOP, PHONE = (1200, 900), (360, 740)
AXE = """
axe.run(document, {resultTypes: ["violations"]}).then((result) => JSON.stringify(
  result.violations.map((each) => [each.id, each.nodes.map((node) => node.html.slice(0, 200))])))
"""


LOADED = 'document.querySelector("details[open] .on-demand") === null'  # the page has the details of what is open


def violations(tab: Tab, axe: str) -> list[Any]:
    """Return the accessibility problems that axe-core finds, best practices included."""
    if tab.evaluate("typeof axe") == "undefined":
        tab.evaluate(f"{axe};0")
    problems: list[Any] = json.loads(tab.evaluate(AXE))
    return problems


def open_everything(tab: Tab) -> None:
    """Open all details, so that their content is checked too, without what is alike.

    Checking the 3,600 rows of thirty environments takes a minute.
    """
    for each in ("section:nth-child(n+6) details", "tbody tr:nth-child(n+4)"):
        tab.evaluate(f"for (const each of document.querySelectorAll({json.dumps(each)})) {{ each.remove(); }}")
        tab.evaluate('for (const each of document.querySelectorAll("details")) { each.open = true; }')
        tab.wait_until(LOADED)


@pytest.mark.parametrize("name", STATES)
def test_each_state_is_accessible_and_fits_a_phone(
    name: str, pages: FakePages, server: WebServer, tab: Tab, axe: str
) -> None:
    """In light and dark, axe-core finds nothing; on a phone nothing is wider than the page. CI keeps the images."""
    pages.reports.current = STATES[name]()
    tab.resize(*DESKTOP)
    tab.prefer("light")
    tab.open(server.url)
    tab.wait_until('document.querySelector(".age").textContent !== ""')
    tab.screenshot(SCREENSHOTS / f"{name}.png")
    open_everything(tab)
    assert violations(tab, axe) == []
    tab.prefer("dark")
    tab.resize(*PHONE)
    open_everything(tab)  # an update may have added sections again
    assert violations(tab, axe) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.open(server.url)
    tab.screenshot(SCREENSHOTS / f"{name}-phone.png")


def test_the_state_is_a_text_and_the_worst_comes_first(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """The reader sees the sentence, then the failing environment with its ticket, then a folded line."""
    pages.reports.current = api_down()
    tab.open(server.url)
    assert tab.evaluate("document.title") == "1 of 2 failing · tigr-monitor"
    text = tab.evaluate("document.body.innerText")
    order = [
        "prod: pings have failed since 22:56 UTC",
        "failing",
        "Likely responsible",
        "This text contains no secret.",
        "uat",
    ]
    assert [text.index(each) for each in order] == sorted(text.index(each) for each in order)
    assert tab.evaluate('document.querySelector("#environment-uat details").open') is False


def test_a_change_arrives_without_a_reload(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """Sections come, move and go; the page itself stays."""
    pages.reports.current = well()
    tab.open(server.url)
    tab.evaluate("window.mark = 1")
    pages.reports.current = make_overview(
        make_environment("new"), make_environment("uat"), make_failed_environment("prod")
    )
    tab.wait_until('document.querySelector("#environment-new") !== null')
    assert tab.evaluate('[...document.querySelectorAll("#environments > section")].map((each) => each.id)') == [
        "environment-prod", "environment-new", "environment-uat",
    ]  # fmt: skip
    assert tab.evaluate('document.querySelector("#incident-16")') is None
    assert tab.evaluate("document.title") == "1 of 3 failing · tigr-monitor"
    assert tab.evaluate('document.getElementById("announcement").textContent').startswith("prod: pings have failed")
    pages.reports.current = well()
    tab.wait_until('document.querySelector("#environment-new") === null')
    assert tab.evaluate("window.mark") == 1


def test_open_details_stay_open(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """An update of the section keeps what the reader has opened, also if its environment recovers."""
    pages.reports.current = api_down()
    tab.open(server.url)
    tab.evaluate('document.getElementById("environment-prod-ping-probes").open = true')
    tab.evaluate('document.getElementById("environment-uat-details").open = true')
    tab.wait_until(LOADED)
    tab.evaluate('document.getElementById("environment-uat-ping-probes").open = true')
    changed = make_endpoint(history=[make_probe(started_at=NOW)])
    pages.reports.current = make_overview(make_environment("prod", ping=changed), make_environment("uat", ping=changed))
    tab.wait_until('document.querySelector("#environment-prod details.environment") !== null')
    tab.wait_until('document.querySelector("#environment-uat-ping-probes tbody").rows.length === 1')
    for name in (
        "environment-uat-details", "environment-uat-ping-probes", "environment-prod-ping-probes",
        "environment-prod-details",
    ):  # fmt: skip
        assert tab.evaluate(f'document.getElementById("{name}").open') is True
    tab.evaluate('document.getElementById("environment-uat-details").open = false')
    tab.wait_until('document.querySelector("#environment-uat .on-demand") !== null')


@pytest.mark.parametrize(
    "use,release",
    [
        ('document.querySelector("#environment-prod button.copy").focus()', "document.activeElement.blur()"),
        (
            'getSelection().selectAllChildren(document.getElementById("environment-prod-ping-ticket"))',
            "getSelection().removeAllRanges()",
        ),
    ],
    ids=["focus", "selection"],
)
def test_a_section_in_use_is_replaced_later(
    use: str, release: str, pages: FakePages, server: WebServer, tab: Tab
) -> None:
    """A section with the focus or a selection stays while others follow, and follows when it is free."""
    pages.reports.current = api_down()
    tab.open(server.url)
    tab.wait_until('!document.querySelector("button.copy").hidden')
    tab.evaluate(use)
    pages.reports.current = replace(well(), sentence="Another sentence.")
    tab.wait_until('document.querySelector("h1").textContent === "Another sentence."')
    assert tab.evaluate('document.querySelector("#environment-prod .failure") !== null')
    tab.evaluate(release)
    tab.wait_until('document.querySelector("#environment-prod .failure") === null')


def test_the_page_reports_that_the_monitor_has_stopped(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """Ages go on, and the alert ends when the monitor responds again."""
    pages.reports.current = api_down()
    tab.open(server.url)
    tab.wait_until('document.querySelector(".age").textContent !== ""')
    port = server.port
    server.stop()
    tab.wait_until('document.getElementById("lost").textContent.startsWith("The monitor has not responded since")')
    assert tab.evaluate("document.title") == "no response · tigr-monitor"
    age = tab.evaluate('document.querySelector("#environment-prod .age").textContent')
    tab.wait_until(f'document.querySelector("#environment-prod .age").textContent !== {json.dumps(age)}')
    again = WebServer("127.0.0.1", port, pages)
    again.start()
    try:
        tab.wait_until('document.getElementById("lost").textContent === ""')
        assert tab.evaluate("document.title") == "1 of 2 failing · tigr-monitor"
    finally:
        again.stop()


def test_the_ticket_can_be_copied(browser: Chromium, pages: FakePages, server: WebServer, tab: Tab) -> None:
    """The button puts exactly the text of the ticket into the clipboard, by keyboard too, and says so."""
    pages.reports.current = api_down()
    tab.open(server.url)
    tab.wait_until('!document.querySelector("button.copy").hidden')
    tab.evaluate(
        'document.addEventListener("copy", () => { window.copied = getSelection().toString(); });'
        'document.querySelector("#environment-prod button.copy").focus()'
    )
    tab.press("Enter", 13, "\r")
    tab.wait_until('document.querySelector("#environment-prod .failure [role=status]").textContent === "Copied."')
    ticket = tab.evaluate('document.getElementById("environment-prod-ping-ticket").textContent')
    assert tab.evaluate("window.copied").strip() == ticket.strip()
    assert tab.evaluate("getSelection().isCollapsed") is True


def test_the_keyboard_opens_what_is_folded(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """Tab reaches the folded line, and Enter opens it. The focus stays on the line while what it opened is updated."""
    pages.reports.current = well()
    tab.open(server.url)
    tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.parentElement.id") == "environment-prod-details"
    tab.press("Enter", 13, "\r")
    assert tab.evaluate('document.getElementById("environment-prod-details").open') is True
    tab.wait_until(LOADED)
    history = [make_probe(started_at=NOW)]
    pages.reports.current = make_overview(make_environment("prod", ping=make_endpoint(history=history)))
    tab.wait_until('document.querySelector("#environment-prod-ping-probes tbody").rows.length === 1')
    assert tab.evaluate("document.activeElement.parentElement.id") == "environment-prod-details"
    tab.press("Enter", 13, "\r")
    assert tab.evaluate('document.getElementById("environment-prod-details").open') is False


def test_incidents_can_be_filtered(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """The filter stays in force at an update."""
    pages.reports.current = api_down()
    tab.open(server.url)
    shown = '[...document.querySelectorAll("#incidents > section:not([hidden])")].map((each) => each.id)'
    assert tab.evaluate(shown) == ["incident-17", "incident-16"]

    def choose(name: str, value: str) -> list[str]:
        tab.evaluate(
            f'(() => {{ const select = document.getElementById("filter-{name}"); select.value = "{value}";'
            'select.dispatchEvent(new Event("change", {bubbles: true})); })()'
        )
        ids: list[str] = tab.evaluate(shown)
        return ids

    assert choose("environment", "uat") == ["incident-16"]
    pages.reports.current = replace(api_down(), sentence="Another sentence.")
    tab.wait_until('document.querySelector("h1").textContent === "Another sentence."')
    assert tab.evaluate(shown) == ["incident-16"]
    assert choose("state", "open") == []
    assert tab.evaluate('document.getElementById("no-incidents").innerText') == "No incident matches the filter."
    assert choose("environment", "") == ["incident-17"]


def test_a_link_to_an_incident_opens_it(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """The failing step links to its incident."""
    pages.reports.current = api_down()
    tab.open(server.url)
    tab.evaluate("document.querySelector(\"#environment-prod a[href='#incident-17']\").click()")
    tab.wait_until('document.getElementById("incident-17-details").open')
    tab.wait_until(LOADED)
    assert "Likely responsible" in tab.evaluate('document.getElementById("incident-17").innerText')


def test_a_hostile_text_stays_text(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """Markup is shown, not run, and characters that reorder or hide text are visible."""
    pages.reports.current = hostile()
    tab.open(server.url)
    tab.wait_until('document.querySelector(".age").textContent !== ""')
    assert tab.evaluate("document.title") == "1 of 1 failing · tigr-monitor"
    assert tab.evaluate('document.querySelectorAll("main script, main img, main b, main i").length') == 0
    text = tab.evaluate('document.querySelector(".failure").textContent')
    assert "\\u202eesrever" in text
    assert "<script>document.title" in text
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_works_without_javascript(pages: FakePages, server: WebServer, tab: Tab, axe: str) -> None:
    """Everything is there, except the controls that need the script; the page loads itself again."""
    pages.reports.current = both_down()
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(server.url)
    text = tab.evaluate("document.body.innerText")
    for part in (
        "Without JavaScript",
        "login and ping have failed",
        "This text contains no secret.",
        "State at 2026-10-31",
    ):
        assert part in text
    for part in ("Copy the ticket", "all\nopen"):
        assert part not in text
    assert tab.evaluate('document.querySelector("meta[http-equiv=refresh]").content') == "30"


def test_a_link_opens_what_is_folded_without_javascript(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """The folded line has a link to the page with its details."""
    pages.reports.current = well()
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(server.url)
    link = tab.evaluate('document.querySelector("#environment-uat .on-demand a").href')
    tab.open(link)
    assert tab.evaluate('document.getElementById("environment-uat-details").open') is True
    assert "Certificate chain" in tab.evaluate('document.getElementById("environment-uat").innerText')
    assert tab.evaluate('document.getElementById("environment-prod-details").open') is False


def test_an_unchanged_page_is_not_sent_again(pages: FakePages, server: WebServer, tab: Tab) -> None:
    """The second request for the fragment has the validator of the first, so its response is 304."""
    pages.reports.current = well()
    tab.open(server.url)
    tab.evaluate(
        "(() => { const send = window.fetch; window.statuses = []; window.fetch = async (...all) => {"
        "const response = await send(...all); window.statuses.push(response.status); return response; }; })()"
    )
    tab.wait_until("window.statuses.length >= 2")
    assert 304 in tab.evaluate("window.statuses")


def test_a_browser_that_ends_is_an_error(tmp_path: Any) -> None:  # noqa: ANN401
    """A test of the page cannot pass without a browser."""
    with chromium(tmp_path) as other:
        assert other.call("Browser.getVersion")["product"].startswith(("Chrome", "HeadlessChrome"))
