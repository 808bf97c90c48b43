"""ASGI application of the web server: access control, and the choice of the page for a path."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

from monitor.errors import describe_exception
from monitor.log import fields
from monitor.output.failure_period import FailurePeriod
from monitor.reporting.overview import Overview, Reports
from monitor.web.access import AccessControl
from monitor.web.api import PREFIX
from monitor.web.api_threads import ThreadedApi
from monitor.web.exchange import Headers, Message, Route, Send, WebRequest, deliver
from monitor.web.negotiation import metrics_format
from monitor.web.rendering import SingleFlight
from monitor.web.responses import WebResponse, health_response, text_response
from monitor.web.status_page import StatusPage

_log = logging.getLogger(__name__)

_MAX_HEADER_SECTION = 16 * 1024  # bytes
_ABSOLUTE_FORM = re.compile(r"https?://[^/?#]*", re.IGNORECASE)  # of a request target, before its path


class Pages(Protocol):
    """Content of the pages. Its methods run in the event loop of the server and must not block."""

    @property
    def reports(self) -> Reports:
        """Return the content of the status page and of the JSON interface, whose methods run in other threads.

        The status page uses only `overview`, which never waits.
        """

    @property
    def alertmanager_url(self) -> str | None:
        """Return the URL of the Alertmanager to which the status page links."""

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Return content type and body of the metrics for a format, which is a valid value of the Accept field."""

    def stalled(self) -> list[str]:
        """Return one line of text per job that makes no progress."""

    def waiting(self) -> list[str]:
        """Return one line of text per probe that has not run yet."""


class Application:
    """ASGI application: access control and pages."""

    def __init__(self, pages: Pages, access: AccessControl | None) -> None:
        self._pages = pages
        self._access = access
        self._api = ThreadedApi(pages.reports)
        self._rendering = SingleFlight(pages.metrics)
        self._failures: defaultdict[str, FailurePeriod] = defaultdict(FailurePeriod)  # by page
        self._routes: Mapping[str, Route] = {
            "/metrics": self._metrics,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            **StatusPage(self._overview, lambda: pages.alertmanager_url).routes(),
        }

    async def __call__(self, scope: Message, _receive: object, send: Send) -> None:
        headers = _joined(scope["headers"])
        response = await self._response(scope, headers)
        if _path(scope).startswith(PREFIX):
            with self._api.held(response) as allowed:
                del response  # else a refused body would stay in memory until the client has the refusal
                await deliver(allowed, self._extra_headers(scope, headers), send)
        else:
            await deliver(response, self._extra_headers(scope, headers), send)

    def _extra_headers(self, scope: Message, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return the configured headers, and `Connection: close` if this response is the last one.

        It is the last one on a connection that began under another policy (certificate, client CA, users, headers).
        The announcement keeps the client from sending a request that would be lost (RFC 9112 section 9.6).
        """
        policy = None if self._access is None else self._access.policy()
        extra = [] if policy is None else list(policy.config.headers)
        is_outdated = policy is not None and scope["state"]["client"].policy is not policy
        if is_outdated or _has_body(headers):
            extra.append((b"connection", b"close"))
        return extra

    async def _response(self, scope: Message, headers: Headers) -> WebResponse:
        size = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"])
        if size > _MAX_HEADER_SECTION:
            return text_response(431, "The header section of the request is too large.")
        path = _path(scope)
        page = path if path in self._routes else PREFIX if path.startswith(PREFIX) else "an unknown page"
        try:
            response = await self._page(scope, headers, path)
        except Exception as error:  # noqa: BLE001 # a page that fails must not stop the server
            if self._failures[page].failed(fault := describe_exception(error)):
                _log.error("cannot respond to a request for %s", page, extra=fields(fault=fault))
            return text_response(500, "This page cannot be rendered; see the log of tigr-monitor.")
        if failed := self._failures[page].succeeded():
            _log.info("requests for %s get responses again", page, extra=fields(failed=failed))
        return response

    async def _page(self, scope: Message, headers: Headers, path: str) -> WebResponse:
        if self._access is not None:
            authorization = headers.get(b"authorization", b"").decode("latin-1")
            denial = await self._access.denial(scope["state"]["client"], authorization)
            if denial is not None:
                return text_response(denial.status, denial.text, denial.headers)
        query = scope["query_string"].decode("latin-1")
        if path.startswith(PREFIX):
            return await self._api.respond(scope["method"], path, query)
        route = self._routes.get(path)
        if route is None:
            return text_response(404, "Not found")
        if scope["method"] not in ("GET", "HEAD"):
            return text_response(405, "Method not allowed", ((b"allow", b"GET, HEAD"),))
        return await route(WebRequest(path, headers, query))

    def _overview(self) -> Overview:
        return self._pages.reports.overview()

    async def _metrics(self, request: WebRequest) -> WebResponse:
        rendering = await self._rendering.get(metrics_format(request.header(b"accept")))
        return rendering.response(request, b"accept, accept-encoding")

    async def _healthy(self, _request: WebRequest) -> WebResponse:
        return health_response(self._pages.stalled())

    async def _ready(self, _request: WebRequest) -> WebResponse:
        waiting = self._pages.waiting()
        return text_response(503, "\n".join(waiting)) if waiting else text_response(200, "Ready")


def _has_body(headers: Headers) -> bool:
    """Return whether a body follows the header section. It is not read, so the connection cannot be used again."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _joined(headers: list[tuple[bytes, bytes]]) -> Headers:
    """Return the headers by name; several fields of one name are one list (RFC 9110 section 5.3)."""
    joined: Headers = {}
    for name, value in headers:
        joined[name] = joined[name] + b", " + value if name in joined else value
    return joined


def _path(scope: Message) -> str:
    """Return the path of the request target, also of one in absolute form (RFC 9112 section 3.2.2)."""
    target: str = scope["path"]
    absolute = _ABSOLUTE_FORM.match(target)
    return target if absolute is None else target[absolute.end() :] or "/"
