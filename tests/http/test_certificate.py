"""The expiry of a certificate is read from its DER form."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.http.certificate import earliest_expiry, not_after

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(expiry: dt.datetime, *, common_name: str = "localhost") -> bytes:
    """Return a certificate with this expiry, in DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC)).not_valid_after(expiry)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


GOOD = certificate(dt.datetime(2031, 5, 6, 7, 8, 9, tzinfo=dt.UTC))


@pytest.mark.parametrize("year", [2020, 2031, 2049, 2050, 2068, 9999])
def test_the_expiry_is_read_in_both_forms_of_time(year: int) -> None:
    """A year has two digits up to 2049, and four from 2050 on (RFC 5280 section 4.1.2.5)."""
    expiry = dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    assert not_after(certificate(expiry)) == expiry.timestamp()


def test_the_expiry_is_read_after_a_long_name() -> None:
    """A name of 64 characters makes lengths of more than one byte."""
    expiry = dt.datetime(2031, 5, 6, tzinfo=dt.UTC)
    assert not_after(certificate(expiry, common_name="x" * 64)) == expiry.timestamp()


def test_the_expiry_is_the_one_that_openssl_reads() -> None:
    """The `ssl` module computes the same time from the text of the expiry."""
    assert not_after(GOOD) == ssl.cert_time_to_seconds("May  6 07:08:09 2031 GMT")


def test_a_certificate_without_a_version_is_read() -> None:
    """The version field is optional: the first edition of X.509 has none."""
    validity = b"\x30\x1e\x17\x0d200101000000Z\x17\x0d310506070809Z"
    fields = b"\x02\x01\x01" + b"\x30\x00" + b"\x30\x00" + validity
    to_be_signed = b"\x30" + bytes([len(fields)]) + fields
    assert not_after(b"\x30" + bytes([len(to_be_signed)]) + to_be_signed) == not_after(GOOD)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_any_other_bytes_are_a_value_error(data: bytes) -> None:
    """Bytes that are not a certificate raise `ValueError`, never another exception."""
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        not_after(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_a_damaged_certificate_has_an_expiry_or_is_a_value_error(at: int, byte: int) -> None:
    """A certificate with one changed byte has an expiry or raises `ValueError`."""
    damaged = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    try:
        assert isinstance(not_after(damaged), float)
    except ValueError as error:
        assert str(error) == "not an X.509 certificate"  # noqa: PT017


@given(st.integers(0, len(GOOD) - 1))
def test_a_certificate_cut_short_is_a_value_error(size: int) -> None:
    """A certificate whose length field exceeds its bytes raises `ValueError`."""
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        not_after(GOOD[:size])


def test_the_earliest_expiry_of_a_chain_counts() -> None:
    """A chain is usable until its first certificate expires."""
    early, late = dt.datetime(2030, 1, 1, tzinfo=dt.UTC), dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    chain = [certificate(late), certificate(early), certificate(late)]
    assert earliest_expiry(chain) == early.timestamp()


@pytest.mark.parametrize("chain", [[], [b""], [GOOD, b"no certificate"]])
def test_a_chain_that_cannot_be_read_has_no_expiry(chain: list[bytes]) -> None:
    """The expiry of the readable part would be a wrong value."""
    assert earliest_expiry(chain) is None
