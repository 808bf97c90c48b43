"""The JSON interface: `/api/v1/…`, which the web server and the control socket serve."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from importlib.resources import files
from urllib.parse import parse_qsl

from monitor.model import Endpoint
from monitor.reporting.overview import JournalBusyError, Reports
from monitor.web import representation
from monitor.web.responses import WebResponse, text_response

PREFIX = "/api/v1/"
EVIDENCE = f"{PREFIX}evidence/"
INCIDENTS = f"{PREFIX}incidents"
LATEST = "latest"  # instead of the number of an incident

_JSON = "application/json"
_MAX_PARAMETERS = 16
_RETRY_AFTER = ((b"retry-after", b"5"),)  # seconds
_NUMBER = re.compile(r"[0-9]{1,18}")  # below 2**63, the largest integer of SQLite
# RFC 3339 section 5.6, with an offset; a second may be 60.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(\.\d{1,9})?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII | re.IGNORECASE
)
Parameters = Mapping[str, str]


class _RequestError(Exception):
    """A request that gets a response with `status` and the message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JsonInterface:
    """Responds to requests from `reports`. Thread-safe. A response may wait for the disk for two seconds."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._listing = threading.Lock()  # held while incidents are listed: a long list takes much memory
        # By path, the names of the parameters and the function that responds.
        self._routes: dict[str, tuple[frozenset[str], Callable[[Parameters], WebResponse]]] = {
            f"{PREFIX}status": (frozenset(), self._status),
            INCIDENTS: (frozenset({"since", "environment"}), self._incidents),
            f"{PREFIX}results": (frozenset({"environment", "endpoint"}), self._results),
            f"{PREFIX}availability": (frozenset({"begin", "end"}), self._availability),
            f"{PREFIX}openapi.json": (frozenset(), _description),
        }

    def respond(self, method: str, path: str, query: str) -> WebResponse:
        """Return the response to a request whose path begins with `PREFIX`."""
        try:
            names, route = self._route(path)
            if method not in ("GET", "HEAD"):
                return _error(405, "the method must be GET or HEAD", ((b"allow", b"GET, HEAD"),))
            return route(_parameters(query, names))
        except _RequestError as error:
            return _error(error.status, str(error))
        except JournalBusyError:
            return unavailable("the journal of incidents does not respond in time; try again later")

    def _route(self, path: str) -> tuple[frozenset[str], Callable[[Parameters], WebResponse]]:
        if path.startswith(EVIDENCE):
            return frozenset(), functools.partial(self._evidence, path.removeprefix(EVIDENCE))
        if path not in self._routes:
            raise _RequestError(404, f"there is no such page; {PREFIX}openapi.json describes all")
        return self._routes[path]

    def _status(self, _parameters: Parameters) -> WebResponse:
        return _json(representation.overview(self._reports.overview()))

    def _incidents(self, parameters: Parameters) -> WebResponse:
        since = _moment(parameters, "since") if "since" in parameters else None
        incidents = self._reports.incidents(since, parameters.get("environment"))
        with self._listing:
            listed = b", ".join([_encoded(representation.incident(each)) for each in incidents])
        return WebResponse(200, _JSON, b'{"incidents": [%b]}' % listed)

    def _results(self, parameters: Parameters) -> WebResponse:
        environment = _required(parameters, "environment")
        name = _required(parameters, "endpoint")
        if name not in [*Endpoint]:
            raise _RequestError(400, f"endpoint: must be {' or '.join(Endpoint)}")
        results = self._reports.results(environment, Endpoint(name))
        if results is None:
            raise _RequestError(404, "environment: there is no such environment")
        probes = [representation.probe(each) for each in results]
        return _json({"environment": environment, "endpoint": name, "results": probes})

    def _availability(self, parameters: Parameters) -> WebResponse:
        begin, end = _moment(parameters, "begin"), _moment(parameters, "end")
        if end <= begin:
            raise _RequestError(400, "end: must be after begin")
        endpoints = [representation.availability(each) for each in self._reports.availability(begin, end)]
        return _json({"begin": parameters["begin"], "end": parameters["end"], "endpoints": endpoints})

    def _evidence(self, incident: str, _parameters: Parameters) -> WebResponse:
        if incident != LATEST and not _NUMBER.fullmatch(incident):
            raise _RequestError(400, f"id: must be the number of an incident, or {LATEST}")
        text = self._reports.evidence(None if incident == LATEST else int(incident))
        if text is None:
            raise _RequestError(404, f"id: there is no such incident; {PREFIX}incidents lists all")
        return text_response(200, text.rstrip("\n"))


@functools.cache
def _content() -> bytes:
    return files("monitor.web").joinpath("openapi.json").read_bytes()


def _description(_parameters: Parameters) -> WebResponse:
    return WebResponse(200, _JSON, _content())


def _parameters(query: str, names: frozenset[str]) -> Parameters:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise _RequestError(400, f"the query has more than {_MAX_PARAMETERS} parameters") from None
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            raise _RequestError(400, f"{name[:50]!a}: there is no such parameter")
        if name in parameters:
            raise _RequestError(400, f"{name}: is given twice")
        parameters[name] = value
    return parameters


def _required(parameters: Parameters, name: str) -> str:
    if name not in parameters:
        raise _RequestError(400, f"{name}: is missing")
    return parameters[name]


def _moment(parameters: Parameters, name: str) -> float:
    """Return a time in Unix seconds."""
    time = _unix_seconds(_required(parameters, name))
    if time is None:
        example = "2026-10-31T22:00:00Z; write the + of an offset as %2B"
        raise _RequestError(400, f"{name}: must be a time in RFC 3339 with an offset, such as {example}")
    return time


def _unix_seconds(text: str) -> float | None:
    """Return the Unix seconds of a time in RFC 3339; None if it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    start, second, fraction, offset = match.groups()
    is_leap = second == "60"
    try:
        moment = datetime.fromisoformat(f"{start}{'59' if is_leap else second}{fraction or ''}{offset}".upper())
        return (moment + timedelta(seconds=is_leap)).timestamp()
    except (OverflowError, ValueError):
        return None


def _json(content: representation.JsonObject) -> WebResponse:
    return WebResponse(200, _JSON, _encoded(content))


def _encoded(content: representation.JsonObject) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace")


def unavailable(message: str) -> WebResponse:
    """Return the response to a request that should be repeated later."""
    return _error(503, message, _RETRY_AFTER)


def _error(status: int, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> WebResponse:
    return WebResponse(status, _JSON, json.dumps({"error": message}).encode(), headers)
