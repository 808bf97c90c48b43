"""Encoded bodies are decoded as browsers decode them, within the limits of size, codings and gzip members."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from monitor.http.decoding import MAX_CODINGS, MAX_GZIP_MEMBERS, content_codings, decode
from monitor.http.errors import ExchangeError, ExchangeFault
from monitor.http.stream import MAX_RESPONSE_SIZE

LEVELS = st.integers(0, 9)  # 0: stored, which begins as no zlib header does
REGISTERED = ("br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "aes128gcm", "pack200-gzip")


def decoded(value: str, body: bytes) -> bytes:
    """Return the body of a response with this value of Content-Encoding."""
    return bytes(decode(content_codings({"content-encoding": value}), bytearray(body)))


def problem(value: str, body: bytes) -> str:
    """Return the text of the fault of a body that is malformed."""
    with pytest.raises(ExchangeError) as raised:
        decoded(value, body)
    assert raised.value.fault is ExchangeFault.MALFORMED
    return raised.value.detail


def raw_deflate(data: bytes, level: int) -> bytes:
    """Return `data` compressed without header and checksum."""
    packer = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255)), st.binary(max_size=100))
@example("UTF-8", b"{}")
@example("none", b"{}")
@example("identity", b"{}")
@example("utf-8, none,, binary", b"{}")
@example("gzip2", b"{}")
def test_a_value_that_is_no_registered_coding_is_ignored(value: str, body: bytes) -> None:
    """Servers send names of character sets and words such as `none` with bodies that are not encoded."""
    names = {name.strip().lower() for name in value.split(",")}
    assume(not names & {"gzip", "x-gzip", "deflate", *REGISTERED})
    assert decoded(value, body) == body


@pytest.mark.parametrize("name", REGISTERED)
@pytest.mark.parametrize("form", ["{}", " {} ", "gzip, {}", "{}, gzip", "utf-8, {}"])
def test_a_registered_coding_that_is_not_supported_is_malformed(name: str, form: str) -> None:
    """The body cannot be read, so the text names the encoding as the cause."""
    for value in (form.format(name), form.format(name).upper()):
        assert (
            problem(value, gzip.compress(b"text", mtime=0))
            == "the response body has an encoding that was not requested"
        )


@given(st.binary(max_size=3000), LEVELS)
@example(b"", 0)
@example(b"x" * 30_000, 0)
def test_deflate_is_decoded_with_and_without_its_header(data: bytes, level: int) -> None:
    """RFC 9110 requires the zlib header, some servers leave it out, and browsers take both."""
    assert decoded("deflate", zlib.compress(data, level)) == data
    assert decoded("deflate", raw_deflate(data, level)) == data


@given(st.lists(st.tuples(st.binary(max_size=200), LEVELS), min_size=1, max_size=MAX_GZIP_MEMBERS + 4))
@example([(b"", 9)] * MAX_GZIP_MEMBERS)
@example([(b"", 9)] * (MAX_GZIP_MEMBERS + 1))
def test_up_to_sixteen_gzip_members_are_joined(members: list[tuple[bytes, int]]) -> None:
    """A gzip body is the content of its members in order (RFC 1952 section 2.2); more than 16 are malformed."""
    body = b"".join(gzip.compress(data, level, mtime=0) for data, level in members)
    if len(members) <= MAX_GZIP_MEMBERS:
        assert decoded("gzip", body) == b"".join(data for data, _ in members)
    else:
        assert problem("gzip", body) == "the compressed response body has more than 16 gzip members"


@given(st.integers(1, 5), st.data())
def test_a_gzip_body_that_ends_early_is_malformed(members: int, data: st.DataObject) -> None:
    """An incomplete member is never taken for the end of the body, not even after complete ones."""
    body = b"".join(gzip.compress(f"member {number}".encode(), mtime=0) for number in range(members))
    last = len(gzip.compress(b"member 0", mtime=0))
    cut = data.draw(st.integers(2, last - 1), "bytes of the last member")
    assert problem("gzip", body[: len(body) - last + cut]) == "the compressed response body is incomplete"


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 512, b"\r\n", b"\x1f", b"any other bytes"])
def test_bytes_after_the_last_member_are_ignored(padding: bytes) -> None:
    """Padding that begins no other member is not part of the body, as for gzip and browsers."""
    assert decoded("gzip", gzip.compress(b"te", mtime=0) + gzip.compress(b"xt", mtime=0) + padding) == b"text"


@given(st.integers(-3, 3), st.integers(1, MAX_GZIP_MEMBERS), LEVELS)
@settings(max_examples=50)
def test_the_size_limit_includes_every_member(over: int, members: int, level: int) -> None:
    """The content of all members together may have as many bytes as a response, and not one more."""
    data = b" " * (MAX_RESPONSE_SIZE + over)
    each = len(data) // members
    parts = [data[:each]] * (members - 1) + [data[each * (members - 1) :]]
    body = b"".join(gzip.compress(part, level, mtime=0) for part in parts)
    if over > 0:
        assert problem("gzip", body) == f"the decompressed response body is longer than {MAX_RESPONSE_SIZE} bytes"
    else:
        assert decoded("gzip", body) == data


@given(st.lists(st.sampled_from(["gzip", "deflate", "raw", "utf-8"]), max_size=MAX_CODINGS + 2))
@example(["gzip"] * MAX_CODINGS)
@example(["gzip"] * (MAX_CODINGS + 1))
def test_codings_are_undone_in_reverse_order(applied: list[str]) -> None:
    """Content-Encoding lists codings in the order in which they were applied (RFC 9110 section 8.4), at most five."""
    body = b"text"
    for name in applied:
        body = {
            "gzip": gzip.compress,
            "deflate": zlib.compress,
            "raw": lambda data: raw_deflate(data, 9),
            "utf-8": bytes,
        }[name](body)
    value = ", ".join(applied).replace("raw", "deflate")
    if len(applied) - applied.count("utf-8") <= MAX_CODINGS:
        assert decoded(value, body) == b"text"
    else:
        assert problem(value, body) == "the response body has an encoding that was not requested"


@given(st.sampled_from(["gzip", "deflate", "gzip, gzip"]), st.binary(max_size=200))
def test_any_body_is_decoded_or_malformed(value: str, body: bytes) -> None:
    """No other exception than that of a malformed response leaves the decoder."""
    with contextlib.suppress(ExchangeError):
        decoded(value, body)
