"""Expiry of a certificate, read from its DER form.

Python exposes the certificate of a peer that failed verification as DER only, and such a certificate is the one whose
expiry matters most. Only the part of X.509 (RFC 5280 section 4.1) up to `notAfter` is read.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime

_VERSION = 0xA0  # [0] EXPLICIT Version, optional
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


@functools.lru_cache(maxsize=256)  # a host sends the same certificate every time
def not_after(der: bytes) -> float:
    """Return the expiry of a certificate in Unix seconds. Raises `ValueError` if `der` is not a certificate."""
    try:
        _, certificate, _ = _element(der, 0)
        _, to_be_signed, _ = _element(certificate, 0)
        tag, _, offset = _element(to_be_signed, 0)
        before_validity = 3 if tag == _VERSION else 2  # serialNumber (unless just read), signature, issuer
        for _ in range(before_validity):
            _, _, offset = _element(to_be_signed, offset)
        _, validity, _ = _element(to_be_signed, offset)
        _, _, offset = _element(validity, 0)
        tag, moment, _ = _element(validity, offset)
        layout = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}[tag]
        # RFC 5280 section 4.1.2.5.1 reads the years 50 to 68 as 19xx, Python as 20xx: no certificate in use has them.
        return datetime.strptime(moment.decode("ascii"), layout).replace(tzinfo=UTC).timestamp()
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ValueError("not an X.509 certificate") from error


def earliest_expiry(chain: Sequence[bytes]) -> float | None:
    """Return the earliest expiry of these certificates in Unix seconds; None if there is none, or one has none."""
    try:
        return min(map(not_after, chain), default=None)
    except ValueError:
        return None


def _element(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """Return tag and content of the DER element at `offset`, and the offset of the next element."""
    tag, length = data[offset], data[offset + 1]
    start = offset + 2
    if length & 0x80:  # long form: the low bits hold the number of length bytes
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise IndexError("the element is longer than the data that contains it")
    return tag, data[start : start + length], start + length
