"""The entropy coder against the procedure in docs/format.md, written slowly in plain integers."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import repetitions

from shoestring.artifact.coding import entropy

quiet = settings(derandomize=True, database=None, deadline=None, max_examples=repetitions(20, 60))


def weight_of(code: int) -> int:
    exponent, mantissa = code >> 3, code & 7
    return mantissa if exponent == 0 else (8 + mantissa) << (exponent - 1)


def slow_table(codes: list[int]) -> list[int]:
    """Frequencies that add up to 2^24.

    1 each, the rest in proportion, the remainder to the first of the heaviest.
    """
    weights = [weight_of(code) for code in codes]
    table = [1 + weight * ((1 << 24) - len(codes)) // max(sum(weights), 1) for weight in weights]
    table[weights.index(max(weights))] += (1 << 24) - sum(table)
    return table


class SlowDecoder:
    """The stream as a stack of words, the last one on top."""

    def __init__(self, data: bytes) -> None:
        self.words = list(struct.unpack(f"<{len(data) // 4}I", data))
        self.state = 0
        while self.words and self.state < 1 << 32:
            self.state = self.state << 32 | self.words.pop()

    def decode(self, table: list[int], count: int) -> list[int]:
        found = []
        for _ in range(count):
            quantile = self.state & (1 << 24) - 1
            symbol, start = 0, 0
            while quantile >= start + table[symbol]:
                start += table[symbol]
                symbol += 1
            self.state = (self.state >> 24) * table[symbol] + quantile - start
            if self.state < 1 << 32 and self.words:
                self.state = self.state << 32 | self.words.pop()
            found.append(symbol)
        return found


def slow_encode(parts: list[tuple[list[int], list[int]]]) -> bytes:
    """The last symbol first; what is decoded first is encoded last."""
    state, words = 0, []
    for symbols, table in reversed(parts):
        for symbol in reversed(symbols):
            frequency = table[symbol]
            if state >> 40 >= frequency:
                words.append(state & 0xFFFFFFFF)
                state >>= 32
            state = (state // frequency) << 24 | (sum(table[:symbol]) + state % frequency)
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return struct.pack(f"<{len(words)}I", *words)


@st.composite
def streams(draw):
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        codes = draw(st.lists(st.integers(0, 255), min_size=2, max_size=20))
        symbols = draw(st.lists(st.integers(0, len(codes) - 1), max_size=60))
        parts.append((symbols, codes))
    return parts


def fast(symbols, codes):
    return np.array(symbols, np.int64), entropy.frequencies(np.array(codes, np.uint8))


@quiet
@given(streams())
def test_the_coder_is_the_one_the_format_states(parts):
    data = entropy.encode([fast(*part) for part in parts])
    slow = [(symbols, slow_table(codes)) for symbols, codes in parts]
    assert data == slow_encode(slow)
    decoder = SlowDecoder(data)
    for symbols, table in slow:
        assert decoder.decode(table, len(symbols)) == symbols
    assert decoder.state == 0
    assert not decoder.words


@quiet
@given(streams(), st.binary(max_size=40))
def test_any_words_decode_as_the_format_states(parts, noise):
    """Every decoder gives the same symbols for damaged streams too."""
    data = noise[: len(noise) // 4 * 4] + b"\1\0\0\0"
    decoder, slow = entropy.Decoder(data), SlowDecoder(data)
    for symbols, codes in parts:
        model = entropy.model(entropy.frequencies(np.array(codes, np.uint8)))
        assert decoder.decode(model, len(symbols)).tolist() == slow.decode(
            slow_table(codes), len(symbols)
        )
    assert decoder.finished() == (slow.state == 0 and not slow.words)


@quiet
@given(st.lists(st.integers(0, 255), min_size=2, max_size=300))
def test_tables(codes):
    table = entropy.frequencies(np.array(codes, np.uint8))
    assert table.tolist() == slow_table(codes)
    assert table.min() >= 1
    assert table.sum() == 1 << 24


def test_the_largest_table():
    for codes in (
        np.full(1 << 16, 255, np.uint8),
        np.zeros(1 << 16, np.uint8),
        np.arange(1 << 16).astype(np.uint8),
    ):
        table = entropy.frequencies(codes)
        assert table.sum() == 1 << 24
        assert table.min() >= 1
        symbols = np.arange(1 << 16)
        decoder = entropy.Decoder(entropy.encode([(symbols, table)]))
        assert np.array_equal(decoder.decode(entropy.model(table), 1 << 16), symbols)
        assert decoder.finished()


def test_code_bytes_by_hand():
    assert [weight_of(code) for code in (0, 1, 7, 8, 15, 16, 17, 255)] == [
        0,
        1,
        7,
        8,
        15,
        16,
        18,
        15 << 30,
    ]
    assert entropy.expand(np.arange(256)).tolist() == [weight_of(code) for code in range(256)]
    # 17 is as near to 16 as to 18: the larger. Anything above 0 keeps a weight.
    assert entropy.shrink(np.array([0, 1, 15, 16, 17, 18, 19])).tolist() == [
        0,
        1,
        15,
        16,
        17,
        17,
        18,
    ]


@quiet
@given(st.lists(st.integers(0, 1 << 33), min_size=1))
def test_code_bytes_are_the_nearest(counts):
    weights = [weight_of(code) for code in range(256)]
    for count, code in zip(counts, entropy.shrink(np.array(counts)).tolist(), strict=True):
        assert abs(weights[code] - count) == min(abs(weight - count) for weight in weights)


def test_a_stream_has_whole_words_and_no_zero_on_top():
    with pytest.raises(ValueError, match="zero word"):
        entropy.Decoder(b"\1\0\0\0\0\0\0\0")
    with pytest.raises(ValueError):
        entropy.Decoder(b"\1\0\0")


def test_parts_decode_in_pieces():
    table = entropy.frequencies(np.array([3, 200, 9], np.uint8))
    symbols = np.arange(1000) % 3
    decoder, model = entropy.Decoder(entropy.encode([(symbols, table)])), entropy.model(table)
    pieces = [decoder.decode(model, count) for count in (1, 0, 499, 500)]
    assert np.array_equal(np.concatenate(pieces), symbols)
