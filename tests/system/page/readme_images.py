"""Make the two images of the status page in README.md: `python -m tests.system.page.readme_images`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from monitor.web.server import WebServer
from tests.support.checkout import ROOT
from tests.support.page_states import api_down
from tests.support.web import FakePages
from tests.system.page.chromium import Tab, chromium

IMAGES = ROOT / "docs" / "images"
MAX_SIZE = 60_000  # bytes of each image


def main() -> None:
    """Write both images. Raises `ValueError` if one is too large."""
    pages = FakePages()
    pages.reports.current = api_down()
    server = WebServer("127.0.0.1", 0, pages)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as directory, chromium(Path(directory)) as browser:
            for name, width, scheme, scale in (
                ("status-page", 1100, "light", 0.8),
                ("status-page-phone", 360, "dark", 1),
            ):
                tab = Tab(browser)
                tab.resize(width, 900)
                tab.prefer(scheme)
                tab.open(server.url)
                tab.wait_until('document.querySelector(".age").textContent !== ""')
                path = IMAGES / f"{name}.webp"
                tab.screenshot(path, max_height=1000, scale=scale, quality=60)
                if (size := path.stat().st_size) > MAX_SIZE:
                    raise ValueError(f"{path.name} has {size} bytes, more than {MAX_SIZE}; lower the quality")
    finally:
        server.stop()


if __name__ == "__main__":
    main()
