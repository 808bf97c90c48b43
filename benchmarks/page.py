"""The status page: the time of a rendering, and the effect of its readers on the accuracy of the probes."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.accuracy import compare
from benchmarks.capture import capturing, exchanges
from benchmarks.figures import Spread
from benchmarks.processes import QUICK, monitor, name_of, reported
from benchmarks.target import serving
from monitor.reporting.overview import Overview
from monitor.web.pages.document import Document
from tests.support.overviews import make_failed_probe, make_probe
from tests.support.page_states import thirty

READERS = 20
ENVIRONMENTS = 2
_INTERVAL = 2.0  # seconds between two requests of a reader, as in the script of the page
_DELAY = 0.020  # seconds
_SETTLED = 5.0  # seconds until every environment has had its first runs, and the templates are loaded
_RENDERINGS = 300
_OPENED = {"environment-env_1"}  # by a reader; two other environments are failing, and so not folded


@dataclass(frozen=True, slots=True)
class Errors:
    """Reported minus captured durations, in seconds."""

    alone: tuple[float, ...]
    read: tuple[float, ...]  # while readers have the page open


@dataclass(frozen=True, slots=True)
class Renderings:
    """Processor time of renderings of thirty environments, in seconds."""

    first: float  # of a process: it loads the templates
    new: float  # of all sections, with the templates loaded
    later: Spread  # each environment has a new ping since the rendering before


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of at least one value lies."""
    return sorted(values)[int(len(values) * share)]


def renderings() -> Renderings:
    """Render the page of thirty environments in this thread."""
    overview = thirty()
    began = time.thread_time()
    Document().render(overview, None)
    first = time.thread_time() - began
    document = Document()
    document.render(_loading_every_template(overview), None, {"environment-well", "incident-50"})
    began = time.thread_time()
    document.render(overview, None)
    new, later = time.thread_time() - began, list[float]()
    for _ in range(_RENDERINGS):
        overview = _with_new_pings(overview)
        began = time.thread_time()
        document.render(overview, None, _OPENED)
        later.append(time.thread_time() - began)
    return Renderings(first, new, Spread.of(later))


def _loading_every_template(overview: Overview) -> Overview:
    """Return an overview with all kinds of sections; its environments have other names."""
    others = {each.is_well: each for each in overview.environments}
    names = (("folded", True), ("well", True), ("failing", False))
    environments = tuple(replace(others[is_well], name=name) for name, is_well in names)
    return replace(overview, environments=environments, incidents=overview.incidents[:2])


def _with_new_pings(overview: Overview) -> Overview:
    """Return the overview a second later: in each environment, a ping has ended as the one before."""
    now = overview.time + 1.0
    environments = []
    for each in overview.environments:
        last = make_probe(started_at=now) if each.ping.failure is None else make_failed_probe(started_at=now)
        ping = replace(each.ping, last=last, history=[*each.ping.history[1:], last])
        environments.append(replace(each, ping=ping))
    return replace(overview, environments=tuple(environments), time=now)


def errors(seconds: float, directory: Path) -> Errors:
    """Measure the same daemon for so many seconds without readers and then with readers of its page."""
    directory.mkdir()
    with serving([_DELAY, _DELAY], directory) as target:
        file = directory / "packets"
        pairs = [(target.ports[0], target.ports[1])] * ENVIRONMENTS
        with (
            capturing([port.number for port in target.ports], file),
            monitor(target, pairs, directory, QUICK | {"TIGR_LOG_LEVEL": "debug"}) as daemon,
        ):
            _wait(_SETTLED)
            begun = time.time()
            _wait(seconds)
            middle = time.time()
            with reading(daemon.port, READERS):
                _wait(_SETTLED)
                read_from = time.time()
                _wait(seconds)
                read_until = time.time()
        compared = [
            each
            for port, endpoint in zip(target.ports, ("token", "ping"), strict=True)
            for each in compare(
                reported(daemon.log_file, endpoint, [name_of(number) for number in range(ENVIRONMENTS)]),
                exchanges(file, port.number),
            )
        ]
    return Errors(
        tuple(each.error for each in compared if begun <= each.began < middle),
        tuple(each.error for each in compared if read_from <= each.began < read_until),
    )


@contextmanager
def reading(port: int, readers: int) -> Iterator[None]:
    """Keep the page open in so many browsers, with the details of all environments.

    Each fetches the fragment every two seconds, with its validator.

    Raises RuntimeError if a request failed.
    """
    stop, failures = threading.Event(), list[Exception]()
    thread = threading.Thread(target=_read, args=(port, readers, stop, failures), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise RuntimeError("a reader of the page got no response") from failures[0]


def _read(port: int, readers: int, stop: threading.Event, failures: list[Exception]) -> None:
    validators = [""] * readers
    opened = urlencode([("open", f"environment-{name_of(number)}") for number in range(ENVIRONMENTS)])
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(readers)]
    number = 0
    try:
        while not stop.wait(_INTERVAL / readers):
            at = number % readers
            headers = {"Accept-Encoding": "gzip"} | ({"If-None-Match": validators[at]} if validators[at] else {})
            connections[at].request("GET", f"/fragment?{opened}", headers=headers)
            response = connections[at].getresponse()
            response.read()
            if response.status not in (200, 304):
                raise RuntimeError(f"status {response.status}")  # noqa: TRY301 - one way out of the thread
            validators[at] = response.headers["etag"]
            number += 1
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        failures.append(error)
    finally:
        for connection in connections:
            connection.close()


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
