"""The image and the table of the last probes."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from monitor.web.pages.history import image, rows, summary
from tests.support.overviews import NOW, make_failed_probe, make_probe

pytestmark = pytest.mark.once

HISTORY = [make_probe(started_at=NOW - 30.0 * age, duration=0.02 + age / 1000) for age in range(59, 0, -1)]
HISTORY.append(make_failed_probe(started_at=NOW, detail="<b>sorry</b>"))


def test_the_image_has_one_bar_per_probe() -> None:
    """A success is a bar from the bottom; a failure has the full height and a dot."""
    svg = ET.fromstring(image(HISTORY, "pings"))  # noqa: S314 - our own image
    paths = {path.get("class"): path.get("d", "") for path in svg}
    assert {name: path.count("M") for name, path in paths.items()} == {"bar": 59, "bar failed": 1, "dot": 1}
    assert "style" not in str(image(HISTORY, "pings"))  # the policy of the page forbids it


def test_the_bars_stay_inside_of_the_image() -> None:
    """Heights are between the least height and the height of the image, and the newest bar is on the right."""
    heights = [float(height) for height in re.findall(r"v-([0-9.]+)", image(HISTORY, "pings"))]
    assert 3 <= min(heights) < max(heights) == 32
    assert "M238 32V8" in image(HISTORY, "pings")


def test_few_probes_are_on_the_right() -> None:
    """The newest probe has the same position, however many there are."""
    assert "M238 32" in image(HISTORY[-2:-1], "pings")
    assert "M234 32" not in image(HISTORY[-2:-1], "pings")


def test_the_text_alternative_has_the_numbers() -> None:
    """A reader without the image learns how many succeeded, and how fast."""
    assert summary(HISTORY, "pings") == "Last 60 pings: 59 succeeded, 1 failed; median 50 ms, slowest 79 ms."
    assert summary([], "pings") == "No pings yet."
    assert summary([HISTORY[-1]], "logins") == "Last login: 0 succeeded, 1 failed."


def test_the_table_has_the_newest_probe_first() -> None:
    """A row has time, result and duration, and a server's text is escaped."""
    table = str(rows(HISTORY))
    assert table.count("<tr>") == 60
    assert table.startswith(
        '<tr><td>2026-10-31 23:06:40</td><td><span class="bad">server_error, status 503: '
        "&lt;b&gt;sorry&lt;/b&gt;</span></td><td>81 ms</td></tr><tr><td>2026-10-31 23:06:10</td><td>success</td>"
    )


def test_the_date_follows_midnight() -> None:
    """Two probes around midnight (UTC) have different dates."""
    midnight = NOW // 86_400 * 86_400
    dates = re.findall(r"<tr><td>(\S+) ", rows([make_probe(started_at=midnight - 1), make_probe(started_at=midnight)]))
    assert dates == ["2026-10-31", "2026-10-30"]
