"""The control paths of the Python servers: change the tokens, and read the requests that were received."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

TOKEN_PATH = "/oauth/token"
PING_PATH = "/ClientAPI/api/system/ping"

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def pong() -> dict[str, str]:
    """Return the body of a successful ping."""
    return {"pong": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}


class Control:
    """The state behind the control paths. Safe to use from many threads at once."""

    def __init__(self, revoke: Callable[[], object], expire: Callable[[], object]) -> None:
        self._changes = {"/test/revoke": revoke, "/test/expire": expire}
        self._mutex = threading.Lock()
        self._wrong_passwords = 0
        self._requests: list[dict[str, object]] = []

    def count_wrong_password(self) -> None:
        """Count an attempt that the library's own check of the password refused."""
        with self._mutex:
            self._wrong_passwords += 1

    def record(self, path: str, body: bytes, status: int) -> None:
        """Record a token request or a ping: the names of its fields, never their values."""
        if path in {TOKEN_PATH, PING_PATH}:
            names = [name for name, _ in parse_qsl(body.decode(), keep_blank_values=True)]
            with self._mutex:
                self._requests.append({"path": path, "fields": names, "status": status})

    def respond(self, method: str, path: str) -> bytes | None:
        """Return the JSON body for a control path; None for every other path."""
        if method == "POST" and path in self._changes:
            self._changes[path]()
            return b"{}"
        with self._mutex:
            pages = {"/test/failures": {"wrong_passwords": self._wrong_passwords}, "/test/requests": self._requests}
            return json.dumps(pages[path]).encode() if path in pages else None


def controlled(app: WsgiApp, control: Control) -> WsgiApp:
    """Return a WSGI application that serves the control paths, and records other requests and passes them to `app`."""

    def serve(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        page = control.respond(environ["REQUEST_METHOD"], path)
        if page is not None:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [page]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)

        def start(status: str, *rest: object) -> object:
            control.record(path, body, int(status[:3]))
            return start_response(status, *rest)

        return app(environ, start)

    return serve
