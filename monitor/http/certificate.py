"""When a certificate ends, read from its DER form.

Without verification Python shows a peer's certificate as DER only, and a certificate that failed verification is the
one whose end matters most. Only as much of X.509 (RFC 5280 section 4.1) is read as leads to `notAfter`.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime

_VERSION = 0xA0  # [0] EXPLICIT Version, optional
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


@functools.lru_cache(maxsize=64)  # a host shows the same certificate every time
def not_after(der: bytes) -> float:
    """Return the moment a certificate ends, in Unix seconds.

    Raises `ValueError` when the bytes are not a certificate.
    """
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
        # Two-digit years turn at 1950 (RFC 5280 section 4.1.2.5.1), Python's at 1969: neither is in use.
        return datetime.strptime(moment.decode("ascii"), layout).replace(tzinfo=UTC).timestamp()
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise ValueError("not an X.509 certificate") from error


def _element(data: bytes, offset: int) -> tuple[int, bytes, int]:
    """Return tag, content and the offset behind the DER element at `offset`."""
    tag, length = data[offset], data[offset + 1]
    start = offset + 2
    if length & 0x80:  # long form: the low bits count the bytes of the length
        size = length & 0x7F
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise IndexError("the element is longer than what holds it")
    return tag, data[start : start + length], start + length
