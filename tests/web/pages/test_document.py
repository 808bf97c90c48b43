"""The page as HTML: well-formed, escaped, and rendered again only where it changed."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.reporting.overview import Overview
from monitor.web.pages.document import Document, section_ids
from tests.support.overviews import (
    NOW,
    make_endpoint,
    make_environment,
    make_failed_endpoint,
    make_failed_environment,
    make_failed_probe,
    make_failure,
    make_incident,
    make_overview,
    make_probe,
)
from tests.support.page_states import HOSTILE, STATES

_VOID = {"meta", "link", "path", "img", "br"}


class Outline(HTMLParser):
    """Collects the elements of a page, and fails if they do not nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.elements: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@functools.cache
def loaded() -> Document:
    """Return a document whose templates are loaded once."""
    return Document()


def outline(overview: Overview, alertmanager_url: str | None = None, *, folded: bool = False) -> Outline:
    """Return the elements of the page of an overview, with or without what is folded."""
    document = loaded()
    parsed = Outline()
    opened = set() if folded else section_ids(overview)
    parsed.feed(document.page(document.render(overview, alertmanager_url, opened)).decode())
    parsed.close()
    assert parsed.open == []
    return parsed


def hashes(html: str) -> dict[str, str]:
    """Return the hash of each section by its id."""
    return dict(re.findall(r'<section id="([^"]+)" data-hash="([^"]+)">', html))


@pytest.mark.parametrize("shown", ["folded", "opened"])
@pytest.mark.parametrize("name", STATES)
def test_each_state_is_well_formed_and_has_no_inline_style_or_script(name: str, shown: str) -> None:
    """Elements nest, ids are unique, and nothing needs an exception in the Content-Security-Policy."""
    parsed = outline(STATES[name](), folded=shown == "folded")
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "style" not in parsed.attributes
    assert not {attribute for attribute in parsed.attributes if attribute.startswith("on")}
    assert parsed.elements.count("script") == 1
    assert "style" not in parsed.elements
    assert "img" not in parsed.elements


@settings(max_examples=50)
@example("<b>", '"><i>')
@example("</section>", "</pre>")
@given(st.text(), st.text())
def test_a_text_of_a_server_is_never_markup(text: str, other: str) -> None:
    """The page has the same elements for every text of a server."""
    values = {"detail": text, "submission_id": other, "error_code": text, "address": other}

    def elements(**changes: str) -> list[str]:
        probe = make_failed_probe(**changes)
        failure = make_failure(received=changes["detail"], ticket=changes["detail"])
        ping = make_failed_endpoint(last=probe, history=(probe,), failure=failure)
        return outline(
            make_overview(make_failed_environment(ping=ping), incidents=(make_incident(first=probe, last=probe),))
        ).elements

    assert elements(**{name: value or "x" for name, value in values.items()}) == elements(**dict.fromkeys(values, "x"))


@pytest.mark.parametrize("shown", ["folded", "opened"])
def test_every_text_is_escaped(shown: str) -> None:
    """Names, sentences, problems and decisions are texts, too."""
    markup = "\"'><script>"
    overview = make_overview(
        make_failed_environment(markup, sentence=HOSTILE),
        version=markup,
        problems=(HOSTILE,),
        incidents=(make_incident(decisions=(HOSTILE,), environment=markup),),
    )
    parsed = outline(overview, alertmanager_url='https://alerts.example/"><script>', folded=shown == "folded")
    assert parsed.elements.count("script") == 1
    assert "img" not in parsed.elements


def test_only_changed_sections_get_another_hash() -> None:
    """The script keeps a section whose hash is the same."""
    document = Document()
    prod, uat = make_environment("prod"), make_environment("uat")
    opened = section_ids(make_overview(prod, uat))
    before = hashes(document.render(make_overview(prod, uat), None, opened).html)
    changed = make_environment("uat", ping=make_endpoint(last=make_probe(started_at=NOW)))
    after = hashes(document.render(make_overview(prod, changed), None, opened).html)
    assert {name for name in before if before[name] != after[name]} == {"environment-uat"}


def test_a_probe_changes_nothing_for_a_reader_who_has_not_opened_its_environment() -> None:
    """The line of a well environment has no value of a probe, so the reader gets 304."""
    document = Document()
    changed = make_environment("uat", ping=make_endpoint(last=make_probe(started_at=NOW)))
    before, after = (make_overview(make_environment("prod"), each) for each in (make_environment("uat"), changed))
    assert document.render(before, None).etag == document.render(after, None).etag
    assert document.render(before, None).etag != document.render(before, None, {"environment-uat"}).etag


@pytest.mark.parametrize(
    "section,detail",
    [("environment-uat", "Certificate"), ("incident-17", "Likely responsible")],
    ids=["well", "incident"],
)
def test_details_are_rendered_for_a_reader_who_has_opened_them(section: str, detail: str) -> None:
    """Others get the line, with a link for browsers without JavaScript."""
    document = Document()
    overview = make_overview(make_environment("uat"), incidents=(make_incident(17),))
    line, details = (document.render(overview, None, opened).html for opened in ((), {section, "unknown"}))
    assert f'<a href="?open={section}#{section}">' in line
    assert (detail in line, detail in details) == (False, True)
    assert f'<a href="?open={section}#{section}">' not in details
    assert document.render(overview, None).html == line


def test_a_countdown_changes_the_text_but_not_the_hash() -> None:
    """The script replaces the sentence alone, and not the section that a reader may use."""
    document = Document()
    before, after = (
        document.render(make_overview(make_failed_environment(sentence=f"{seconds} s more <"), sentence="x"), None)
        for seconds in (9, 8)
    )
    assert hashes(before.html) == hashes(after.html)
    assert '<span class="line">8 s more &lt;</span>' in after.html
    assert before.etag != after.etag
    assert "\x00" not in after.html


def test_the_validator_changes_with_the_content_only() -> None:
    """The time of the rendering is not part of the content."""
    document = Document()
    first = document.render(make_overview(), None)
    assert document.render(make_overview(time=NOW - 1), None).etag == first.etag
    assert document.render(make_overview(sentence="Another."), None).etag != first.etag
    assert document.render(make_overview(), "https://alerts.example/").etag != first.etag


def test_a_section_that_is_gone_is_forgotten() -> None:
    """A removed environment costs no memory."""
    document = Document()
    document.render(make_overview(make_environment("a"), make_environment("b")), None)
    assert [key for key in document._sections if "environment-a" in key]
    document.render(make_overview(make_environment("b")), None)
    assert not [key for key in document._sections if "environment-a" in key]


def test_a_well_environment_is_folded_and_a_failing_one_is_not() -> None:
    """The failing step and the ticket are visible without a click."""
    document = Document()
    html = document.render(make_overview(make_failed_environment("prod"), make_environment("uat")), None).html
    assert '<details id="environment-uat-details"' in html
    assert "environment-prod-details" not in html
    assert html.index("Ping: the failing step") < html.index("environment-uat")
    assert "This text contains no secret." in html


def test_the_link_to_alertmanager_is_optional() -> None:
    """Without the setting, the page has no such link."""
    document = Document()
    assert "Alertmanager" not in document.render(make_overview(), None).html
    assert '<a href="https://alerts.example/x"' in document.render(make_overview(), "https://alerts.example/x").html
