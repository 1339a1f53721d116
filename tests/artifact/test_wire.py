"""Integers, strings and deflate: every number comes back, and damage is told apart from an end."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.artifact.wire import Reader, ShoeError, Writer, squeeze, unsqueeze

unsigned = st.integers(0, (1 << 64) - 1)
signed = st.integers(-(1 << 63), (1 << 63) - 1)


@pytest.mark.parametrize(
    ("number", "data"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), ((1 << 64) - 1, "ff" * 9 + "01")],
)
def test_varint_bytes(number, data):
    out = Writer()
    out.varint(number)
    assert out.hex() == data


@pytest.mark.parametrize(
    ("number", "data"), [(0, 0), (-1, 1), (1, 2), (-2, 3), (2, 4), (-(1 << 63), (1 << 64) - 1)]
)
def test_signed_bytes(number, data):
    out, plain = Writer(), Writer()
    out.signed(number)
    plain.varint(data)
    assert out == plain


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(unsigned), st.lists(signed), st.lists(st.text()))
def test_round_trip(numbers, others, texts):
    out = Writer()
    for number in numbers:
        out.varint(number)
    for number in others:
        out.signed(number)
    for text in texts:
        out.text(text)
    reader = Reader(bytes(out), "test")
    assert [reader.varint() for _ in numbers] == numbers
    assert [reader.signed() for _ in others] == others
    assert [reader.text() for _ in texts] == texts
    reader.end()


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_writer_refuses_what_is_not_64_bits(number):
    with pytest.raises(ValueError, match="64 bits"):
        Writer().varint(number)


@pytest.mark.parametrize(
    ("data", "read", "why"),
    [
        (b"", Reader.byte, "1 bytes are wanted and 0 are left"),
        (b"\x80", Reader.varint, "1 bytes are wanted"),
        (b"\x80" * 10 + b"\x00", Reader.varint, "longer than 64 bits"),
        (b"\xff" * 9 + b"\x02", Reader.varint, "is over"),
        (b"\x80\x00", Reader.varint, "shortest"),
        (b"\x05abc", Reader.text, "5 bytes are wanted and 3 are left"),
        (b"\x01\xff", Reader.text, "not UTF-8"),
        (b"\x03\xed\xa0\x80", Reader.text, "not UTF-8"),
        (b"\x02\x00", Reader.count, "a list of 2 is longer"),
        (b"\x00", Reader.end, "1 bytes too many"),
    ],
)
def test_damage(data, read, why):
    with pytest.raises(ShoeError, match=why):
        read(Reader(data, "test"))


@settings(derandomize=True, database=None, deadline=None)
@given(st.binary(max_size=2000))
def test_deflate_round_trip(data):
    assert unsqueeze(memoryview(squeeze(data)), "test", len(data)) == data


def _deflated(length: int, data: bytes, more: bytes = b"") -> memoryview:
    out = Writer()
    out.varint(length)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return memoryview(bytes(out) + packer.compress(data) + packer.flush() + more)


@pytest.mark.parametrize(
    "data",
    [
        _deflated(9, b"x" * 10),
        _deflated(11, b"x" * 10),
        _deflated(10, b"x" * 10, b"!"),
        _deflated(10, b"x" * 10)[:-1],
        _deflated(0, b"x" * 10),
        memoryview(b"\x05\xff\xff\xff"),
        memoryview(b"\x00"),
    ],
)
def test_deflate_that_lies(data):
    with pytest.raises(ShoeError, match="inflate"):
        unsqueeze(data, "test", 100)


def test_a_bomb_is_refused_before_it_inflates():
    with pytest.raises(ShoeError, match="is over 1000"):
        unsqueeze(_deflated(1 << 30, bytes(1 << 20)), "test", 1000)
    with pytest.raises(ShoeError, match="claims"):
        unsqueeze(_deflated(10, bytes(1 << 24)), "test", 1000)
