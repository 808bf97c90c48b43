"""The page as HTML: sections that are rendered again only if their key changes.

A well environment and an incident are one folded line. Their details are rendered for readers who have opened them: the
details of thirty environments take thirty times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from monitor.reporting.incident import Incident
from monitor.reporting.overview import EnvironmentOverview, Overview
from monitor.web.pages import history, incident_views, views
from monitor.web.pages.keys import Key, environment_key, incident_key, incident_line_key, windows_key
from monitor.web.pages.texts import moment, visible

# Stands for the sentence of an environment in its cached HTML: a countdown in it must neither render the section again
# nor change its hash. No text contains this character (`visible`).
_SENTENCE = "\x00"


@dataclass(frozen=True, slots=True)
class Content:
    """The changing part of the page at one time."""

    html: str
    etag: str  # a strong validator (RFC 9110 section 8.8.1)
    title: str
    time: float  # Unix seconds of the rendering


@dataclass(frozen=True, slots=True)
class _Section:
    """A rendered section. The attribute `data-hash` in it shows the script whether it has changed."""

    key: Key
    digest: str
    html: Markup


class Document:
    """Renders the page. Not thread-safe: the event loop of the web server owns it."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("monitor.web.pages", "."),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            auto_reload=False,
        )
        environment.globals.update(history_image=history.image, history_rows=history.rows, last_probes=history.last)
        self._template = environment.get_template
        self._sections: dict[tuple[str, str], _Section] = {}  # by id and template

    def render(
        self, overview: Overview, alertmanager_url: str | None, opened: Collection[str] = frozenset()
    ) -> Content:
        """Return the content for an overview.

        `alertmanager_url` is the address of a link, None for no link; `opened` has the ids of the sections whose
        details the reader has opened, and unknown ids are allowed.
        """
        self._forget(overview)
        state = views.state(overview, alertmanager_url)
        # A tuple of texts identifies the state.
        top = self._section("state", "state.html", (state,), lambda: state)
        environments = [
            (self._environment(each, overview.time, opened), each) for each in views.ordered(overview.environments)
        ]
        windows = self._section("windows", "windows.html", windows_key(overview), lambda: views.windows(overview))
        incidents = [self._incident(each, opened) for each in overview.incidents]
        html = self._template("content.html").render(
            state=top.html,
            environments=[
                section.html.replace(_SENTENCE, escape(visible(each.sentence))) for section, each in environments
            ],
            windows=windows.html,
            incidents=[section.html for section in incidents],
        )
        parts = [(section.digest, each.sentence) for section, each in environments]
        parts += [(section.digest, "") for section in (top, windows, *incidents)]
        return Content(html, f'"{_digest(repr(parts))}"', state.title, overview.time)

    def page(self, content: Content) -> bytes:
        """Return the whole page with this content."""
        page = self._template("page.html").render(
            content=Markup(content.html),  # noqa: S704 - the templates have escaped it
            title=content.title,
            time=moment(content.time),
        )
        return page.encode()

    def _forget(self, overview: Overview) -> None:
        """Remove the sections of environments and incidents that are gone."""
        ids = section_ids(overview) | {"state", "windows"}
        self._sections = {key: section for key, section in self._sections.items() if key[0] in ids}

    def _environment(self, of: EnvironmentOverview, now: float, opened: Collection[str]) -> _Section:
        name = views.environment_id(of)
        if of.is_well and name not in opened:
            line = views.line(of, now)
            return self._section(name, "environment_line.html", (line,), lambda: line)
        return self._section(name, "environment.html", environment_key(of, now), lambda: views.environment(of, now))

    def _incident(self, of: Incident, opened: Collection[str]) -> _Section:
        name = incident_views.incident_id(of)
        if name not in opened:
            return self._section(name, "incident_line.html", incident_line_key(of), lambda: incident_views.line(of))
        return self._section(name, "incident.html", incident_key(of), lambda: incident_views.incident(of))

    def _section(self, name: str, template: str, key: Key, view: Callable[[], object]) -> _Section:
        """Return a section: the one of an earlier rendering if its key is the same."""
        section = self._sections.get((name, template))
        if section is None or section.key != key:
            body = self._template(template).render(view=view(), sentence=_SENTENCE)
            digest = _digest(body)
            html = Markup(  # noqa: S704 - the template has escaped the body
                f'<section id="{escape(name)}" data-hash="{digest}">\n{body}</section>\n'
            )
            self._sections[name, template] = section = _Section(key, digest, html)
        return section


def section_ids(overview: Overview) -> set[str]:
    """Return the ids of the sections that have details."""
    return {views.environment_id(each) for each in overview.environments} | {
        incident_views.incident_id(each) for each in overview.incidents
    }


def _digest(text: str) -> str:
    return blake2b(text.encode(errors="backslashreplace"), digest_size=8).hexdigest()
