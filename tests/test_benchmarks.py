"""The benchmark: what it reads off a capture, what it makes of figures, and that the README says what it found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.accuracy import compare
from benchmarks.capture import Packet, WireExchange, _exchange, capturing, exchanges
from benchmarks.figures import Figure, Spread, at_most, at_most_times, table
from benchmarks.processes import QUICK, Cost, Reported, exporter, monitor, reported
from benchmarks.scraping import silent, storm, storming
from benchmarks.target import serving
from tests.support.checkout import ROOT
from tests.support.process import wait_for

RESULTS = json.loads((ROOT / "benchmarks/results/results.json").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURES = [
    Figure(**{name: value for name, value in figure.items() if name != "ratio"}) for figure in RESULTS["figures"]
]
CLIENT, SERVER = 40000, 443
DELAY = 0.020  # seconds


def test_the_table_is_the_benchmarks_output() -> None:
    """To the letter: nobody types a figure."""
    assert table(FIGURES) in README


def test_the_machine_and_the_versions_are_told() -> None:
    """A figure without them says nothing."""
    told = README.split("\n## How exact, and at what cost\n")[1].split("\n## ")[0]
    for value in [*RESULTS["machine"].values(), *RESULTS["versions"].values()]:
        assert value in " ".join(told.split())


def test_the_plot_is_there() -> None:
    """Made in the same run: it names every number of environments and what they came to."""
    plot = (ROOT / "benchmarks/results/environments.svg").read_text(encoding="utf-8")
    assert "(benchmarks/results/environments.svg)" in README
    for point in RESULTS["growth"]:
        assert f">{point['environments']}<" in plot
        assert f">{point['resident'] / 1e6:.3g}<" in plot


def test_a_missed_bound_is_seen() -> None:
    """In the table, whichever kind it is."""
    assert at_most("a", "ms", 5.0, 5.0).met
    assert at_most("a", "ms", 5.1, 5.0).met is False
    assert at_most_times("a", "ms", 3.0, 10.0, 0.3, samples=1).met
    assert at_most_times("a", "ms", 3.1, 10.0, 0.3, samples=1).met is False
    assert "at most 5 ms **(missed)** |" in table([at_most("a", "ms", 5.1, 5.0)])
    assert "missed" not in table([at_most("a", "ms", 5.0, 5.0), Figure("b", "s", 1.0)])


def test_a_spread_is_of_all_samples() -> None:
    """The one in a hundred that was slow is its p99."""
    assert Spread.of([1.0] * 99 + [7.0]) == Spread(1.0, 7.0, 1.0, 100)


def test_what_is_missing_is_told_by_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With status 2 and what to do, before anything is measured."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    assert command.main() == 2
    assert "apt-get install" in capsys.readouterr().err


def packet(time: float, payload: bytes = b"", *, flags: int = 0x10, from_client: bool = True) -> Packet:
    """One of a connection."""
    ports = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
    return Packet(time, *ports, flags, payload)


def record(kind: int, length: int) -> bytes:
    """A TLS record."""
    return bytes((kind, 3, 3)) + length.to_bytes(2, "big") + bytes(length)


HELLO, FINISHED, REQUEST, TICKET, ANSWER, ALERT = (
    record(*each) for each in ((22, 500), (23, 53), (23, 200), (23, 234), (23, 300), (23, 19))
)
CONNECTION = [
    packet(0.0, flags=0x02),
    packet(0.1, flags=0x12, from_client=False),
    packet(0.2, HELLO),
    packet(0.3, record(22, 122) + record(23, 900), from_client=False),
    packet(0.4, FINISHED),
    packet(0.5, REQUEST),
    packet(0.6, TICKET + TICKET, from_client=False),
    packet(0.7, ANSWER[:100], from_client=False),
    packet(0.8, ANSWER[100:], from_client=False),
    packet(0.9, ALERT, flags=0x11, from_client=False),
]
WHOLE = WireExchange(began=0.0, requested=0.5, answered=0.7, ended=0.8, round_trips=3)


def test_an_exchange_is_read_off_its_packets() -> None:
    """Tickets and the goodbye are no part of the answer."""
    assert _exchange(CONNECTION, SERVER) == WHOLE


def test_a_client_that_waits_once_more_has_one_round_trip_more() -> None:
    """As for a second hello (RFC 8446 section 2.1)."""
    again = [packet(0.21, record(22, 60), from_client=False), packet(0.22, HELLO)]
    found = _exchange([*CONNECTION[:3], *again, *CONNECTION[3:]], SERVER)
    assert found == replace(WHOLE, round_trips=4)


@pytest.mark.parametrize("length", range(1, len(CONNECTION) - 1))
def test_an_exchange_that_the_capture_cuts_off_is_none(length: int) -> None:
    """It would be shorter than it was."""
    assert _exchange(CONNECTION[:length], SERVER) is None


def test_an_exchange_is_compared_with_its_own() -> None:
    """What was seen before, or not told, is passed over."""
    seen = [replace(WHOLE, began=moment, ended=moment + 0.8) for moment in (5.0004, 9.0004)]
    seen.insert(0, replace(WHOLE, began=4.0, ended=4.1))
    told = [Reported(moment, 1.0, 0.3) for moment in (5.0, 9.0)]
    pairs = compare(told, seen)
    assert [(each.began, round(each.error, 6), round(each.processing_error, 6)) for each in pairs] == [
        (5.0, 0.2, 0.1),
        (9.0, 0.2, 0.1),
    ]


def test_too_many_that_were_not_seen_are_no_comparison() -> None:
    """A capture with holes proves nothing."""
    with pytest.raises(RuntimeError, match="of 9 exchanges only 0"):
        compare([Reported(float(moment), 1.0, 0.3) for moment in range(9)], [])


@pytest.mark.system
@pytest.mark.needs("nginx", "tcpdump", "prometheus-blackbox-exporter")
def test_both_are_measured_on_the_wire(tmp_path: Path) -> None:
    """Each reports what the capture shows, and some; nobody asks twice."""
    with serving([DELAY] * 3, tmp_path) as target:
        token, ping, theirs = target.ports
        file = tmp_path / "packets"
        settings = QUICK | {"TIGR_LOG_LEVEL": "debug"}
        with (
            capturing([port.number for port in target.ports], file),
            exporter(target, token, tmp_path) as other,
            monitor(target, [(token, ping)], tmp_path, settings) as daemon,
        ):
            wait_for(lambda: len(reported(daemon.log_file, "ping")) >= 3, "three pings")
            told, whole = other.probe("ping", f"{theirs.api_url}/api/system/ping")
            assert daemon.stop() == 0
            assert Cost(other.pid).cpu() >= 0
            assert Cost(other.pid).resident() > 1e6
        for port, endpoint in ((token, "token"), (ping, "ping")):
            seen = exchanges(file, port.number)
            assert {each.round_trips for each in seen} == {3}
            assert all(each.processing >= DELAY for each in seen)
            assert all(0 <= each.error < 0.1 for each in compare(reported(daemon.log_file, endpoint), seen))
        (of_theirs,) = exchanges(file, theirs.number)
        assert DELAY <= of_theirs.duration <= whole
        assert told.processing >= DELAY


@pytest.mark.system
@pytest.mark.needs("nginx", "ab")
def test_scrapes_are_counted(tmp_path: Path) -> None:
    """Those that failed too: nobody listens any more in the end."""
    with serving([0.0, 0.0], tmp_path) as target, monitor(target, [target.ports], tmp_path) as daemon:  # type: ignore[list-item]
        with silent(daemon.port, 20), storming(daemon.port, 5):
            found = storm(daemon.port, 10, 50)
        assert (len(found.durations), found.failures) == (50, 0)
        assert daemon.stop() == 0
        assert storm(daemon.port, 10, 50).failures >= 50
