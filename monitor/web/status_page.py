"""Routes of the status page: the page, its updates, its stylesheet and its script.

Jinja2 and the templates are loaded at the first request, so that they cost no memory while the page is not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from importlib import resources
from typing import TYPE_CHECKING

from monitor.reporting.overview import Overview
from monitor.web.exchange import Route, WebRequest
from monitor.web.rendering import Rendering
from monitor.web.responses import WebResponse

if TYPE_CHECKING:
    from monitor.web.pages.document import Content, Document

_RENDER_INTERVAL = 1.0  # seconds between two renderings for all clients together
_HTML = "text/html; charset=utf-8"
_ASSETS = {"style.css": "text/css; charset=utf-8", "script.js": "text/javascript; charset=utf-8"}
_VARY = b"accept-encoding"


class StatusPage:
    """Renders the state of all environments at most once a second, in the event loop of the web server.

    `overview` and `alertmanager_url` are called at each rendering and must not block.
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
        self._content: Content | None = None
        self._rendered = float("-inf")  # monotonic time of the last rendering
        self._date = b""  # of the last rendering; the script counts ages from it
        self._page: Rendering | None = None
        self._fragment: Rendering | None = None
        self._assets: dict[str, Rendering] = {}

    def routes(self) -> dict[str, Route]:
        """Return the routes by path."""
        routes: dict[str, Route] = {"/": self._respond_with_page, "/fragment": self._respond_with_fragment}
        return routes | {f"/{name}": self._respond_with_asset for name in _ASSETS}

    async def _respond_with_page(self, request: WebRequest) -> WebResponse:
        document, content = self._refresh()
        if self._page is None:
            self._page = Rendering(_HTML, document.page(content))
        return self._page.response(request, _VARY, (b"date", self._date))

    async def _respond_with_fragment(self, request: WebRequest) -> WebResponse:
        _, content = self._refresh()
        headers = ((b"etag", content.etag.encode()), (b"date", self._date))
        if content.etag in (tag.strip() for tag in request.header(b"if-none-match").split(",")):
            return WebResponse(304, _HTML, b"", ((b"vary", _VARY), *headers))
        if self._fragment is None:
            self._fragment = Rendering(_HTML, content.html.encode())
        return self._fragment.response(request, _VARY, *headers)

    async def _respond_with_asset(self, request: WebRequest) -> WebResponse:
        name = request.path[1:]
        if name not in self._assets:
            body = (resources.files("monitor.web.pages") / name).read_bytes()
            self._assets[name] = Rendering(_ASSETS[name], body)
        return self._assets[name].response(request, _VARY)

    def _refresh(self) -> tuple[Document, Content]:
        """Return the current content, rendered again if it is older than a second."""
        from monitor.web.pages.document import Document

        if self._document is None:
            self._document = Document()
        now = self._now()
        if self._content is None or now - self._rendered >= _RENDER_INTERVAL:
            overview = self._overview()
            content = self._document.render(overview, self._alertmanager_url())
            if self._content is None or content.etag != self._content.etag:
                self._fragment = None
            self._content, self._rendered, self._page = content, now, None
            self._date = formatdate(overview.time, usegmt=True).encode()
        return self._document, self._content
