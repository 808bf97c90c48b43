"""The benchmark: reading a capture, comparing figures, and the documented table of results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import page, redaction
from benchmarks.accuracy import compare
from benchmarks.capture import Packet, WireExchange, _exchange, capturing, exchanges
from benchmarks.figures import Figure, Spread, at_most, at_most_times, table
from benchmarks.processes import QUICK, Cost, Reported, exporter, monitor, reported
from benchmarks.scraping import silent, storm, storming
from benchmarks.target import serving
from monitor.tigr.redaction import MAX_SHOWN
from tests.support.checkout import ROOT
from tests.support.process import wait_for

pytestmark = pytest.mark.once

RESULTS = json.loads((ROOT / "benchmarks/results/results.json").read_text(encoding="utf-8"))
DOCUMENT = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
FIGURES = [
    Figure(**{name: value for name, value in figure.items() if name != "ratio"}) for figure in RESULTS["figures"]
]
CLIENT, SERVER = 40000, 443
DELAY = 0.020  # seconds


def test_the_documented_table_is_the_output_of_the_benchmark() -> None:
    """The documentation contains the generated table exactly."""
    assert table(FIGURES) in DOCUMENT


def test_the_machine_and_the_versions_are_documented() -> None:
    """The documentation names every property of the machine and every version of the measurement."""
    section = DOCUMENT.split("\n## Results\n")[1].split("\n## ")[0]
    for value in [*RESULTS["machine"].values(), *RESULTS["versions"].values()]:
        assert value in " ".join(section.split())


def test_the_plot_shows_every_measurement() -> None:
    """The plot contains every number of environments and its resident memory."""
    plot = (ROOT / "benchmarks/results/environments.svg").read_text(encoding="utf-8")
    assert "(../benchmarks/results/environments.svg)" in DOCUMENT
    for point in RESULTS["growth"]:
        assert f">{point['environments']}<" in plot
        assert f">{point['resident'] / 1e6:.3g}<" in plot


def test_a_missed_bound_is_marked() -> None:
    """The table marks a value above a fixed limit or above a multiple of the other program."""
    assert at_most("a", "ms", 5.0, 5.0).met
    assert at_most("a", "ms", 5.1, 5.0).met is False
    assert at_most_times("a", "ms", 3.0, 10.0, 0.3, samples=1).met
    assert at_most_times("a", "ms", 3.1, 10.0, 0.3, samples=1).met is False
    assert "at most 5 ms **(missed)** |" in table([at_most("a", "ms", 5.1, 5.0)])
    assert "missed" not in table([at_most("a", "ms", 5.0, 5.0), Figure("b", "s", 1.0)])


def test_the_cost_of_redaction_is_measured() -> None:
    """The worst text decides, each text has the maximum length, and each figure has its bound."""
    assert {len(text) for text in redaction.texts().values()} == {MAX_SHOWN}
    spreads = {"a": Spread.of([0.0004]), "b": Spread.of([0.0011])}
    disturbance = redaction.Disturbance(Spread.of([0.0220]), Spread.of([0.0226]), 5_100_000)
    rows = table(command.redaction_figures(spreads, disturbance))
    assert "worst (b): median | 1.1 ms |" in rows
    assert rows.count("(missed)") == 3
    fine = redaction.Disturbance(Spread.of([0.0220]), Spread.of([0.0224]), 4_900_000)
    assert "missed" not in table(command.redaction_figures({"a": Spread.of([0.0009])}, fine))
    assert set(redaction.cleaning()) == set(redaction.texts())


def test_the_cost_of_the_status_page_is_measured() -> None:
    """Median, p95 and p99 of the error, the shift of the p99, and the renderings."""
    alone = (0.0001,) * 97 + (0.0002,) * 3
    slow = page.Errors(alone, (0.0001,) * 97 + (0.0013,) * 3)
    rows = table(command.page_figures(page.Renderings(0.05, 0.01, Spread.of([0.0051])), slow))
    assert "p99 | 1.3 ms |" in rows
    assert "p99, moved | 1.1 ms |" in rows
    assert rows.count("(missed)") == 2
    fine = page.Errors(alone, (0.0001,) * 97 + (0.0011,) * 3)
    assert "missed" not in table(command.page_figures(page.Renderings(0.05, 0.01, Spread.of([0.0049])), fine))
    assert page.renderings().later.samples > 100


@pytest.mark.system
@pytest.mark.needs("nginx", "tcpdump")
def test_the_readers_of_the_page_are_served_during_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probes with and without readers are in the capture."""
    monkeypatch.setattr(page, "_SETTLED", 2.0)
    errors = page.errors(3.0, tmp_path / "page")
    assert len(errors.alone) > 3
    assert len(errors.read) > 3


def test_a_spread_is_of_all_samples() -> None:
    """One slow sample in a hundred is the p99."""
    assert Spread.of([1.0] * 99 + [7.0]) == Spread(1.0, 7.0, 1.0, 100)


def test_a_missing_program_is_reported_with_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command exits with status 2 and names the Debian packages before it measures anything."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    assert command.main() == 2
    assert "apt-get install" in capsys.readouterr().err


def packet(time: float, payload: bytes = b"", *, flags: int = 0x10, from_client: bool = True) -> Packet:
    """Return a packet of the connection, without its sequence number."""
    ports = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
    return Packet(time, *ports, flags, 0, payload)


def numbered(packets: Iterable[Packet]) -> list[Packet]:
    """Return the packets with sequence numbers, which begin again at 0 in the middle of each direction."""
    following = {CLIENT: 2**32 - 100, SERVER: 2**32 - 700}
    result = []
    for each in packets:
        result.append(replace(each, sequence=following[each.source]))
        following[each.source] = (following[each.source] + len(each.payload)) % 2**32
    return result


def record(content_type: int, length: int) -> bytes:
    """Return a TLS record."""
    return bytes((content_type, 3, 3)) + length.to_bytes(2, "big") + bytes(length)


HELLO, FINISHED, REQUEST, TICKET, RESPONSE, ALERT = (
    record(*each) for each in ((22, 500), (23, 53), (23, 200), (23, 234), (23, 300), (23, 19))
)
PACKETS = [
    packet(0.0, flags=0x02),
    packet(0.1, flags=0x12, from_client=False),
    packet(0.2, HELLO),
    packet(0.3, record(22, 122) + record(23, 900), from_client=False),
    packet(0.4, FINISHED),
    packet(0.5, REQUEST),
    packet(0.6, TICKET + TICKET, from_client=False),
    packet(0.7, RESPONSE[:100], from_client=False),
    packet(0.8, RESPONSE[100:], from_client=False),
    packet(0.9, ALERT, flags=0x11, from_client=False),
]
CONNECTION = numbered(PACKETS)
WHOLE = WireExchange(began=0.0, requested=0.5, responded=0.7, ended=0.8, round_trips=3)


def test_an_exchange_is_read_from_its_packets() -> None:
    """Session tickets and the closing alert are not part of the response."""
    assert _exchange(CONNECTION, SERVER) == WHOLE


def test_a_second_hello_is_one_more_round_trip() -> None:
    """A client that must send a second hello (RFC 8446 section 2.1) waits one more time."""
    again = [packet(0.21, record(22, 60), from_client=False), packet(0.22, HELLO)]
    exchange = _exchange(numbered([*PACKETS[:3], *again, *PACKETS[3:]]), SERVER)
    assert exchange == replace(WHOLE, round_trips=4)


@pytest.mark.parametrize("position", range(2, len(CONNECTION)))
def test_a_packet_that_was_sent_again_changes_nothing(position: int) -> None:
    """A busy machine acknowledges a packet late, and the kernel sends it again, perhaps together with the next one."""
    again = replace(CONNECTION[position], time=CONNECTION[position].time + 0.05)
    assert _exchange([*CONNECTION[: position + 1], again, *CONNECTION[position + 1 :]], SERVER) == WHOLE
    joined = replace(CONNECTION[8], sequence=CONNECTION[7].sequence, payload=RESPONSE)
    assert _exchange([*CONNECTION[:8], joined, *CONNECTION[9:]], SERVER) == WHOLE


@pytest.mark.parametrize("length", range(1, len(CONNECTION) - 1))
def test_an_incomplete_exchange_is_dropped(length: int) -> None:
    """An exchange that the capture does not contain completely is None."""
    assert _exchange(CONNECTION[:length], SERVER) is None


def test_each_reported_exchange_is_compared_with_the_captured_one() -> None:
    """Captured exchanges that were not reported are ignored."""
    captured = [replace(WHOLE, began=moment, ended=moment + 0.8) for moment in (5.0004, 9.0004)]
    captured.insert(0, replace(WHOLE, began=4.0, ended=4.1))
    reports = [Reported(moment, 1.0, 0.3) for moment in (5.0, 9.0)]
    pairs = compare(reports, captured)
    assert [(each.began, round(each.error, 6), round(each.processing_error, 6)) for each in pairs] == [
        (5.0, 0.2, 0.1),
        (9.0, 0.2, 0.1),
    ]


def test_too_many_missing_exchanges_are_an_error() -> None:
    """The comparison fails if the capture lacks more exchanges than its end can cut off."""
    with pytest.raises(RuntimeError, match="lacks 9 of 9 exchanges"):
        compare([Reported(float(moment), 1.0, 0.3) for moment in range(9)], [])


@pytest.mark.system
@pytest.mark.needs("nginx", "tcpdump", "prometheus-blackbox-exporter")
def test_both_programs_are_measured_in_the_capture(tmp_path: Path) -> None:
    """Each program reports at least the captured duration, and each exchange takes three round trips."""
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
            exchange, duration = other.probe("ping", f"{theirs.api_url}/api/system/ping")
            assert daemon.stop() == 0
            assert Cost(other.pid).cpu() >= 0
            assert Cost(other.pid).resident() > 1e6
        for port, endpoint in ((token, "token"), (ping, "ping")):
            captured = exchanges(file, port.number)
            assert {each.round_trips for each in captured} == {3}
            assert all(each.processing >= DELAY for each in captured)
            assert all(0 <= each.error < 0.1 for each in compare(reported(daemon.log_file, endpoint), captured))
        (of_theirs,) = exchanges(file, theirs.number)
        assert DELAY <= of_theirs.duration <= duration
        assert exchange.processing >= DELAY


@pytest.mark.system
@pytest.mark.needs("nginx", "ab")
def test_successful_and_failed_scrapes_are_counted(tmp_path: Path) -> None:
    """All scrapes of a running daemon succeed, and all scrapes of a stopped one fail."""
    with serving([0.0, 0.0], tmp_path) as target, monitor(target, [target.ports], tmp_path) as daemon:  # type: ignore[list-item]
        with silent(daemon.port, 20), storming(daemon.port, 5):
            scrapes = storm(daemon.port, 10, 50)
        assert (len(scrapes.durations), scrapes.failures) == (50, 0)
        assert daemon.stop() == 0
        assert storm(daemon.port, 10, 50).failures >= 50
