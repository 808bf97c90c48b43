"""The expiry of the verified chain: from the host's certificate to the trust anchor, and nothing that was only sent."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from monitor.http.client import HttpClient
from monitor.http.errors import ExchangeFault
from monitor.http.exchange import HttpRequest
from monitor.http.tls import unverifying_context, verifying_context
from tests.support.connection_recorder import ConnectionRecorder
from tests.support.odd_certificates import DAY, NOW, Pair, ca_extensions, issue, names
from tests.support.verdict import server_context_of

ADDRESS = "127.0.0.1"
TIMEOUT = 20.0  # seconds


def served(directory: Path, leaf: Pair, *others: Pair) -> str:
    """Write key and chain of a server, and return the path."""
    file = directory / "chain.pem"
    file.write_bytes(leaf.key_pem() + leaf.pem + b"".join(pair.pem for pair in others))
    return str(file)


def anchors(directory: Path, *trusted: Pair) -> Path:
    """Write a CA file, and return the path."""
    file = directory / "ca.pem"
    file.write_bytes(b"".join(pair.pem for pair in trusted))
    return file


@pytest.mark.parametrize(
    "leaf_days,intermediate_days,root_days,earliest", [(90, 2, 900, 2), (5, 60, 900, 5), (90, 60, 3, 3)]
)
def test_the_earliest_expiry_in_the_chain_is_measured(
    tmp_path: Path, leaf_days: int, intermediate_days: int, root_days: int, earliest: int
) -> None:
    """It may be that of the host's certificate, of an intermediate, or of the trust anchor, which is not sent."""
    root = issue("root", None, ca_extensions(), end=NOW + root_days * DAY)
    intermediate = issue("issuing", root, ca_extensions(), end=NOW + intermediate_days * DAY)
    leaf = issue("leaf", intermediate, names(ADDRESS), end=NOW + leaf_days * DAY)
    chain = served(tmp_path, leaf, intermediate)
    client = HttpClient(verifying_context(anchors(tmp_path, root)))
    with ConnectionRecorder(server_context_of(chain)) as server:
        check = client.check_connection(f"https://{ADDRESS}:{server.port}", None, TIMEOUT)
    assert check.fault is None, check.fault_detail
    assert check.certificate_expiry == expiry(leaf_days)
    assert check.chain_expiry == expiry(earliest)


def test_an_exchange_has_the_expiry_too(tmp_path: Path) -> None:
    """It is known when the handshake is complete, also if the exchange fails afterwards."""
    root = issue("root", None, ca_extensions(), end=NOW + 3 * DAY)
    leaf = issue("leaf", root, names(ADDRESS))
    client = HttpClient(verifying_context(anchors(tmp_path, root)))
    with ConnectionRecorder(server_context_of(served(tmp_path, leaf))) as server:
        exchange = client.exchange(HttpRequest("GET", f"https://{ADDRESS}:{server.port}", {}, 1.0))
    assert exchange.fault is ExchangeFault.TIMEOUT
    assert exchange.chain_expiry == expiry(3)


def test_a_certificate_that_is_sent_but_not_needed_does_not_count(tmp_path: Path) -> None:
    """Servers go on to send an old cross-signed root; the chain ends before it."""
    root = issue("root", None, ca_extensions(), end=NOW + 900 * DAY)
    old = issue("old root", None, ca_extensions())
    cross = issue("root", old, ca_extensions(), key=root.key, end=NOW + DAY)
    leaf = issue("leaf", root, names(ADDRESS), end=NOW + 90 * DAY)
    client = HttpClient(verifying_context(anchors(tmp_path, root)))
    with ConnectionRecorder(server_context_of(served(tmp_path, leaf, cross))) as server:
        check = client.check_connection(f"https://{ADDRESS}:{server.port}", None, TIMEOUT)
    assert check.chain_expiry == expiry(90)


def test_a_chain_that_was_not_verified_has_no_expiry(tmp_path: Path) -> None:
    """Neither a failed verification nor a context that verifies nothing gives one."""
    leaf = issue("leaf", None, names(ADDRESS))
    other = issue("other", None, ca_extensions())
    url_and_context = (verifying_context(anchors(tmp_path, other)), unverifying_context())
    for context in url_and_context:
        with ConnectionRecorder(server_context_of(served(tmp_path, leaf))) as server:
            check = HttpClient(context).check_connection(f"https://{ADDRESS}:{server.port}", None, TIMEOUT)
        assert check.chain_expiry is None


def expiry(days: int) -> float:
    """Return the Unix time of an expiry in so many days."""
    return (NOW + dt.timedelta(days=days)).timestamp()
