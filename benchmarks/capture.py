"""Packet capture with tcpdump, and the exchange of each captured connection.

Nothing is decrypted: the types, lengths and order of the TLS 1.3 records (RFC 8446) are enough to distinguish
handshake, request and response.
"""

from __future__ import annotations

import itertools
import signal
import socket
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.process import wait_for

_HANDSHAKE, _APPLICATION_DATA = 22, 23  # RFC 8446 section 5.1: every encrypted record has the type application data
_ALERT_LENGTH = 19  # bytes of an encrypted alert: 2 of content, 1 of type, 16 of the cipher's tag
_TICKETS = 2  # session tickets that OpenSSL sends after a handshake by default
_SYN, _ACK, _FIN_RST = 0x02, 0x10, 0x05


@dataclass(frozen=True, slots=True)
class Packet:
    """One TCP packet."""

    time: float  # Unix seconds, set by the kernel
    source: int  # port
    destination: int  # port
    flags: int
    sequence: int  # of the first byte of the payload (RFC 9293), modulo 2**32
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WireExchange:
    """One captured exchange. Times are Unix seconds."""

    began: float  # the first packet
    requested: float  # the last packet of the request
    responded: float  # the first packet of the response
    ended: float  # the last packet of the response
    round_trips: int  # the number of times that the client waited for the server

    @property
    def duration(self) -> float:
        """Return the seconds from the first packet to the last packet of the response."""
        return self.ended - self.began

    @property
    def processing(self) -> float:
        """Return the seconds from the request to the first packet of the response."""
        return self.responded - self.requested


@contextmanager
def capturing(ports: Sequence[int], file: Path) -> Iterator[None]:
    """Capture the loopback packets to and from these ports into `file`.

    A server must listen on the first port, and the process needs root. Raises PermissionError if tcpdump cannot
    capture, and RuntimeError if the kernel dropped packets.
    """
    wanted = " or ".join(f"port {port}" for port in ports)
    log = file.with_suffix(".log")
    command = ["tcpdump", "-i", "lo", "-n", "-U", "-B", "65536", "--time-stamp-precision=nano", "-w", str(file)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, f"tcp and ({wanted})"], stderr=output)
    try:
        wait_for(lambda: process.poll() is not None or "listening on" in log.read_text(), "tcpdump listens")
        if process.poll() is not None:
            raise PermissionError(f"tcpdump cannot capture: {log.read_text().strip()}")
        yield
        _flush(ports[0], file)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
    dropped = [line for line in log.read_text().splitlines() if "dropped by kernel" in line]
    if dropped and not dropped[0].startswith("0 "):
        raise RuntimeError(f"the capture is incomplete: {dropped[0]}; repeat the benchmark on an idle machine")


def _flush(port: int, file: Path) -> None:
    """Wait until every packet so far is in the file: the kernel delivers packets in order, but up to a second later."""
    with socket.create_connection(("127.0.0.1", port)) as last:
        mark = struct.pack("!HH", last.getsockname()[1], port)

    def written() -> bool:
        with file.open("rb") as data:
            data.seek(max(0, file.stat().st_size - 65536))
            return mark in data.read()

    wait_for(written, "the capture is complete")


def exchanges(file: Path, port: int) -> list[WireExchange]:
    """Return the complete exchanges with the port of a server, oldest first."""
    connections: dict[int, list[list[Packet]]] = defaultdict(list)
    for packet in _packets(file):
        if port not in (packet.source, packet.destination):
            continue
        client = packet.source if packet.destination == port else packet.destination
        if packet.destination == port and packet.flags & (_SYN | _ACK) == _SYN:
            connections[client].append([])
        if connections[client]:
            connections[client][-1].append(packet)
    captured = (_exchange(packets, port) for of_client in connections.values() for packets in of_client)
    return sorted((each for each in captured if each is not None), key=lambda each: each.began)


def _packets(file: Path) -> Iterator[Packet]:
    """Read a capture in the format of pcap-savefile(5): Ethernet frames with IPv4, times in nanoseconds."""
    data = file.read_bytes()
    magic, link = struct.unpack_from("=I", data)[0], struct.unpack_from("=I", data, 20)[0]
    if (magic, link) != (0xA1B23C4D, 1):
        raise ValueError(f"{file} is not a capture of the loopback interface of this machine")
    at = 24
    while at + 16 <= len(data):
        seconds, nanoseconds, length, _ = struct.unpack_from("=IIII", data, at)
        frame = memoryview(data)[at + 16 : at + 16 + length]
        at += 16 + length
        ip = frame[14:]
        tcp = ip[(ip[0] & 0x0F) * 4 : int.from_bytes(ip[2:4], "big")]
        source, destination = struct.unpack_from("!HH", tcp)
        payload = bytes(tcp[(tcp[12] >> 4) * 4 :])
        sequence = int.from_bytes(tcp[4:8], "big")
        yield Packet(seconds + nanoseconds / 1e9, source, destination, tcp[13], sequence, payload)


@dataclass(frozen=True, slots=True)
class _Record:
    """One TLS record: its type, the length of its content in bytes, and the times of its first and last packet."""

    content_type: int
    length: int
    begun: float
    ended: float


def _records(packets: Iterable[Packet]) -> Iterator[_Record]:
    """Yield the records of one direction."""
    waiting = bytearray()
    begun = 0.0
    for time, payload in _first_transmissions(packets):
        if not waiting:
            begun = time
        waiting += payload
        while len(waiting) >= 5 and len(waiting) >= 5 + (length := int.from_bytes(waiting[3:5], "big")):
            yield _Record(waiting[0], length, begun, time)
            del waiting[: 5 + length]
            begun = time


def _first_transmissions(packets: Iterable[Packet]) -> Iterator[tuple[float, bytes]]:
    """Yield the time and the payload of each packet of one direction, without bytes that an earlier packet contained.

    Loopback neither loses nor reorders packets, but the kernel sends the last one again if a busy machine acknowledges
    it late (RFC 8985).
    """
    expected: int | None = None
    for packet in packets:
        if packet.payload:
            repeated = 0 if expected is None else (expected - packet.sequence) % 2**32
            if repeated < len(packet.payload):
                expected = (packet.sequence + len(packet.payload)) % 2**32
                yield packet.time, packet.payload[repeated:]


def _exchange(packets: list[Packet], port: int) -> WireExchange | None:
    """Return the exchange of a connection; None if the capture contains only a part of it."""
    sent = list(_records(packet for packet in packets if packet.destination == port))
    received = list(_records(packet for packet in packets if packet.source == port))
    hidden = [record for record in sent if record.content_type == _APPLICATION_DATA]
    if not any(packet.flags & _FIN_RST for packet in packets) or len(hidden) < 2:
        return None
    finished, *rest = hidden
    after = [
        record for record in received if record.content_type == _APPLICATION_DATA and record.begun >= finished.ended
    ]
    tickets, response = after[:_TICKETS], [record for record in after[_TICKETS:] if record.length != _ALERT_LENGTH]
    request = [record for record in rest if response and record.ended <= response[0].begun]
    if not response or not request:
        return None
    waits = [("client", packets[0].time), ("server", packets[1].time)]
    waits += [
        ("client", record.ended)
        for record in sent
        if record.content_type == _HANDSHAKE or record in (finished, *request)
    ]
    waits += [
        ("server", record.begun) for record in received if record not in tickets and record.length != _ALERT_LENGTH
    ]
    order = [side for side, _ in sorted(waits, key=lambda wait: wait[1])]
    round_trips = sum(pair == ("client", "server") for pair in itertools.pairwise(order))
    return WireExchange(packets[0].time, request[-1].ended, response[0].begun, response[-1].ended, round_trips)
