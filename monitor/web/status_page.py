"""Routes of the status page: the page, its updates, its stylesheet and its script.

Jinja2 and the templates are loaded at the first request, so that they cost no memory while the page is not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from monitor.reporting.overview import Overview
from monitor.web.exchange import Route, WebRequest
from monitor.web.rendering import Rendering
from monitor.web.responses import WebResponse

if TYPE_CHECKING:
    from monitor.web.pages.document import Content, Document

_RENDER_INTERVAL = 1.0  # seconds between two renderings for all clients together
_HTML = "text/html; charset=utf-8"
_ASSETS = {"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"}
_MAX_SHOWN = 20  # contents that are kept, so that a client that asks for many combinations costs no memory
_VARY = b"accept-encoding"


@dataclass(slots=True)
class _Shown:
    """The content for readers who have opened the same sections."""

    content: Content
    fragment: Rendering
    page: Rendering | None = None


class StatusPage:
    """Renders the state of all environments in the event loop of the web server. Clients share it for a second.

    `overview` and `alertmanager_url` are called at a rendering and must not block. Each section is rendered at most
    once a second.
    """

    def __init__(
        self,
        overview: Callable[[], Overview],
        alertmanager_url: Callable[[], str | None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._overview = overview
        self._alertmanager_url = alertmanager_url
        self._now = now
        self._document: Document | None = None
        self._state: Overview | None = None
        self._ids: set[str] = set()  # of the sections of `_state` that have details
        self._read = float("-inf")  # monotonic time at which `_state` was read
        self._date = b""  # the time of `_state`; the script counts ages from it
        self._shown: dict[frozenset[str], _Shown] = {}  # of `_state`, by the ids of the opened sections
        self._before: dict[str, Rendering] = {}  # the fragments of the state before, by validator
        self._assets: dict[str, Rendering] = {}

    def routes(self) -> dict[str, Route]:
        """Return the routes by path."""
        routes: dict[str, Route] = {"/": self._respond_with_page, "/fragment": self._respond_with_fragment}
        return routes | {f"/{name}": self._respond_with_asset for name in _ASSETS}

    async def _respond_with_page(self, request: WebRequest) -> WebResponse:
        document, shown = self._refresh(_opened(request.query))
        if shown.page is None:
            shown.page = Rendering(_HTML, document.page(shown.content))
        return shown.page.response(request, _VARY, (b"date", self._date))

    async def _respond_with_fragment(self, request: WebRequest) -> WebResponse:
        _, shown = self._refresh(_opened(request.query))
        etag = shown.content.etag
        headers = ((b"etag", etag.encode()), (b"date", self._date))
        if etag in (tag.strip() for tag in request.header(b"if-none-match").split(",")):
            return WebResponse(304, _HTML, b"", ((b"vary", _VARY), *headers))
        return shown.fragment.response(request, _VARY, *headers)

    async def _respond_with_asset(self, request: WebRequest) -> WebResponse:
        name = request.path[1:]
        if name not in self._assets:
            body = (resources.files("monitor.web.pages") / name).read_bytes()
            self._assets[name] = Rendering(_ASSETS[name], body)
        return self._assets[name].response(request, _VARY)

    def _refresh(self, opened: frozenset[str]) -> tuple[Document, _Shown]:
        """Return the content for readers who have opened these sections, of a state that is at most a second old."""
        from monitor.web.pages.document import Document, section_ids

        if self._document is None:
            self._document = Document()
        now = self._now()
        if self._state is None or now - self._read >= _RENDER_INTERVAL:
            self._state, self._read = self._overview(), now
            self._ids = section_ids(self._state)
            self._date = formatdate(self._state.time, usegmt=True).encode()
            self._before = {each.content.etag: each.fragment for each in self._shown.values()}
            self._shown = {}
        opened &= self._ids
        if opened not in self._shown:
            content = self._document.render(self._state, self._alertmanager_url(), opened)
            fragment = self._before.get(content.etag) or Rendering(_HTML, content.html.encode())
            if len(self._shown) >= _MAX_SHOWN:
                self._shown.clear()
            self._shown[opened] = _Shown(content, fragment)
        return self._document, self._shown[opened]


def _opened(query: str) -> frozenset[str]:
    """Return the ids of the opened sections: the page asks for `?open=environment-prod&open=incident-17`."""
    return frozenset(value for name, value in parse_qsl(query) if name == "open")
