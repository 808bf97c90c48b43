"""The cost of redaction: processor time per text, and the effect of failing environments on one that works.

Every redactor has four tokens of the maximum length.
"""

from __future__ import annotations

import base64
import html
import json
import random
import string
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import quote

from benchmarks.figures import Spread
from benchmarks.processes import QUICK, Cost, monitor, name_of, reported
from benchmarks.target import PONG, Port, serving
from monitor.tigr.redaction import MAX_SHOWN, Redactor
from monitor.tigr.responses import MAX_TOKEN_LENGTH

NEIGHBOURS = 3  # with the healthy one: production and UAT of two registries
DELAY = 0.020  # seconds
_RUNS = 200
_TOKENS = 4  # per redactor
_SETTLED = 12.0  # seconds until each environment has had several tokens
_DAEMON = {"TIGR_LOG_LEVEL": "debug", "MALLOC_ARENA_MAX": "1"}  # one arena, as in the unit for systemd and in the image
_SENTENCE = "The request could not be processed because the upstream service <registry> is down & too busy. "


def tokens(count: int, seed: int = 1) -> list[str]:
    """Return random JWTs of the maximum length."""
    rng, header = random.Random(seed), "eyJhbGciOiJSUzI1NiJ9."  # noqa: S311 - no secrets
    alphabet = string.ascii_letters + string.digits + "-_"
    return [header + "".join(rng.choices(alphabet, k=MAX_TOKEN_LENGTH - len(header))) for _ in range(count)]


def texts() -> dict[str, str]:
    """Return texts of the maximum length by their encoding."""
    prose = _SENTENCE * 20
    encoded = {
        "prose": prose,
        "base64": base64.b64encode(prose.encode()).decode(),
        "percent": quote(prose),
        "percent, every character": "".join(f"%{ord(char):02X}" for char in prose),
        "entities": "".join(f"&#{ord(char)};" for char in prose),
        "hex": prose.encode().hex(),
        "nested": json.dumps(html.escape(quote(prose))),
        "nested base64": base64.b64encode(quote(html.escape(prose)).encode()).decode(),
    }
    return {name: text[:MAX_SHOWN] for name, text in encoded.items()}


def cleaning() -> dict[str, Spread]:
    """Return the seconds of processor time of this thread to clean each text."""
    redactor = Redactor(secrets=["Zt9:pL4%wR-canary&secret=", "Hd6 fY1 canary & word"], names=["the-client", "jdoe"])
    for token in tokens(_TOKENS):
        redactor.add_token(token)
    return {name: Spread.of([_cleaned(redactor, text) for _ in range(_RUNS)]) for name, text in texts().items()}


def _cleaned(redactor: Redactor, text: str) -> float:
    began = time.thread_time()
    redactor.clean(text)
    return time.thread_time() - began


@dataclass(frozen=True, slots=True)
class Disturbance:
    """The effect of failing environments on one that works."""

    alone: Spread  # seconds: durations of the pings that succeed, while the others succeed too
    disturbed: Spread  # seconds: the same while the pings of the others fail
    resident: int  # bytes by which the process is larger


def disturbance(seconds: float, directory: Path) -> Disturbance:
    """Measure a working environment among neighbours that ping well with short tokens, then among failing ones."""
    results = [_among(failing, seconds, directory / f"failing-{failing}") for failing in (False, True)]
    (alone, before), (disturbed, after) = results
    return Disturbance(alone, disturbed, after - before)


def _among(failing: bool, seconds: float, directory: Path) -> tuple[Spread, int]:  # noqa: FBT001 - the two parts
    directory.mkdir()
    with serving([DELAY, DELAY], directory) as target, _neighbour_server(failing) as neighbour:
        token, ping = target.ports
        ports = [(token, ping), *[(neighbour, neighbour)] * NEIGHBOURS]
        with monitor(target, ports, directory, QUICK | _DAEMON) as daemon:
            threading.Event().wait(_SETTLED)
            began = time.time()
            threading.Event().wait(seconds)
            resident = Cost(daemon.process.pid).resident()
        pings = reported(daemon.log_file, "ping", (name_of(0),))
    return Spread.of([each.duration for each in pings if each.began >= began]), resident


class _PlainPort(Port):
    """A port of the neighbours' server, which has no TLS."""

    @property
    def token_url(self) -> str:
        return super().token_url.replace("https:", "http:")

    @property
    def api_url(self) -> str:
        return super().api_url.replace("https:", "http:")


@contextmanager
def _neighbour_server(failing: bool) -> Iterator[Port]:  # noqa: FBT001 - the two parts
    """Serve logins and pings from another process."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, failing), daemon=True)
    process.start()
    try:
        yield _PlainPort(ours.recv(), 0.0, "127.0.0.1")
    finally:
        process.terminate()
        process.join()


def _serve(connection: Connection, failing: bool) -> None:  # noqa: FBT001 - the two parts
    """Grant a new token at each login; if failing, tokens of the maximum length, and refuse every ping in words."""
    granted = iter(tokens(400 if failing else 0))
    messages = list(texts().values())
    rng = random.Random(1)  # noqa: S311 - no secrets

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            token = next(granted) if failing else "short-token-of-a-neighbour"
            self._respond(200, {"access_token": token, "token_type": "bearer", "expires_in": 86400, "scope": "access"})

        def do_GET(self) -> None:
            if failing:
                self._respond(500, {"errors": [{"code": "E1", "message": rng.choice(messages)}]})
            else:
                self._respond(200, json.loads(PONG))

        def _respond(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    connection.send(server.server_port)
    server.serve_forever()


def worst(spreads: dict[str, Spread]) -> tuple[str, Spread]:
    """Return the text that takes longest, by the median."""
    return max(spreads.items(), key=lambda each: each[1].median)
