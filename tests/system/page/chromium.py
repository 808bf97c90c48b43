"""Chromium without a window, driven over its DevTools protocol on a pair of pipes: no port and no further library.

The protocol: https://chromedevtools.github.io/devtools-protocol/. With `--remote-debugging-pipe`, Chromium reads
commands from descriptor 3 and writes responses and events to descriptor 4, each a JSON object that ends with a NUL.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.process import PATIENCE

PROGRAM = "chromium"
_FLAGS = [
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US", "--no-sandbox",
]  # fmt: skip
# `no-sandbox`: root cannot use the sandbox. The pages come from this machine only.


class BrowserError(Exception):
    """Chromium reported an error, or ended."""


class Chromium:
    """One running browser. `open` creates tabs."""

    def __init__(self, commands: int, responses: int) -> None:
        self._commands = commands
        self._responses = responses
        self._selector = selectors.DefaultSelector()
        self._selector.register(responses, selectors.EVENT_READ)
        self._buffer = bytearray()
        self._last = 0
        self._events: dict[str, deque[dict[str, Any]]] = {}  # by session

    def call(self, method: str, session: str = "", **parameters: object) -> dict[str, Any]:
        """Send a command; return its result. Raises `BrowserError`."""
        self._last += 1
        number = self._last
        command = {"id": number, "method": method, "params": parameters}
        if session:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self._receive(deadline)
            if message.get("id") == number:
                break
            self._keep(message)
        if "error" in message:
            raise BrowserError(f"{method}: {message['error']['message']}")
        result: dict[str, Any] = message["result"]
        return result

    def wait_for_event(self, session: str, wanted: Callable[[dict[str, Any]], bool], name: str) -> dict[str, Any]:
        """Return the next event of a session for which `wanted` is true; earlier ones are dropped."""
        deadline = time.monotonic() + PATIENCE
        events = self._events.setdefault(session, deque())
        while True:
            while events:
                if wanted(event := events.popleft()):
                    return event
            try:
                self._keep(self._receive(deadline))
            except BrowserError as error:
                raise BrowserError(f"{name}: {error}") from None

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return and forget the events of a session that have arrived."""
        events = self._events.setdefault(session, deque())
        drained = list(events)
        events.clear()
        return drained

    def _keep(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._events.setdefault(message.get("sessionId", ""), deque()).append(message)

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise BrowserError(f"no message within {PATIENCE:g} s")
            data = os.read(self._responses, 1 << 20)
            if not data:
                raise BrowserError("Chromium has ended")
            self._buffer += data
        end = self._buffer.index(b"\0")
        message: dict[str, Any] = json.loads(self._buffer[:end])
        del self._buffer[: end + 1]
        return message


class Tab:
    """One tab, with the errors of its pages and the addresses that it requested."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self.requested: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command about this tab; return its result."""
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Load a page and wait for the end of its loading."""
        self.call("Page.navigate", url=url)
        self._browser.wait_for_event(self._session, self._is_loaded, "the page is loaded")

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - a value of JavaScript
        """Return the value of an expression; a promise is awaited. Raises `BrowserError` for an exception."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            details = done["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return done["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        poll = f"const poll = () => ({expression}) ? done(true) : setTimeout(poll, 20); poll();"
        self.evaluate(f"new Promise((done) => {{ {poll} }})")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press and release a key, as a keyboard does."""
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the page in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def prefer(self, scheme: str) -> None:
        """Set the preferred colours: light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path, max_height: int = 4000, scale: float = 1.0, quality: int | None = None) -> None:
        """Write the page as PNG, at most so many pixels of its height; with a `quality` from 0 to 100 as WebP."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], max_height), "scale": scale}
        form: dict[str, object] = {"format": "png"} if quality is None else {"format": "webp", "quality": quality}
        data = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True, **form)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def collect(self) -> None:
        """Add the requests and the errors since the last call to `requested` and `errors`."""
        self.call("Runtime.evaluate", expression="0")  # the events before its response have arrived
        for event in self._browser.events(self._session):
            self._note(event)

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _is_loaded(self, event: dict[str, Any]) -> bool:
        self._note(event)
        return bool(event["method"] == "Page.loadEventFired")

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                self.requested.append(url)
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                self.errors.append(str(details))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error", "text": text, "source": source}}}:
                if source != "network":  # a server that has stopped is the subject of a test
                    self.errors.append(text)


@contextmanager
def chromium(directory: Path) -> Iterator[Chromium]:
    """Start Chromium with a new profile in `directory`; end it after the block."""
    (command_reader, command_writer), (response_reader, response_writer) = os.pipe(), os.pipe()
    redirection = f'exec "$@" 3<&{command_reader} 4>&{response_writer}'
    command = ["bash", "-c", redirection, "bash", PROGRAM, *_FLAGS, f"--user-data-dir={directory}", "about:blank"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, pass_fds=(command_reader, response_writer), start_new_session=True
        )
    os.close(command_reader)
    os.close(response_writer)
    browser = Chromium(command_writer, response_reader)
    try:
        yield browser
        browser.call("Browser.close")
    finally:
        os.close(command_writer)  # Chromium ends if its end of the pipe is closed
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(response_reader)
