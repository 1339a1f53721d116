"""The coder in vectors of lanes against numpy's: the same states, words, symbols and refusals."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from shoestring.artifact import machine_code
from shoestring.artifact.coding import lanes, lanes_code, lanes_vectors

pytestmark = pytest.mark.skipif(
    not lanes_vectors.available(), reason="the processor has no AVX-512"
)
RANDOM = np.random.default_rng(5)
KINDS = ("even", "skewed", "rare", "constant", "scaled", "high")


def symbols_of(kind: str, size: int) -> np.ndarray:
    if kind == "even":
        return RANDOM.integers(0, 256, size).astype(np.uint8)
    if kind == "skewed":
        return np.minimum(RANDOM.geometric(0.4, size) - 1, 40).astype(np.uint8)
    if kind == "rare":
        return (RANDOM.random(size) < 1e-3).astype(np.uint8)
    if kind == "constant":
        return np.full(size, 7, np.uint8)
    if kind == "high":
        return (255 - np.minimum(RANDOM.geometric(0.1, size), 90)).astype(np.uint8)
    scales = np.repeat(RANDOM.integers(0, 30, -(-size // 4096)), 4096)[:size]
    return (scales + RANDOM.integers(0, 9, size)).astype(np.uint8)


def coded(symbols, tables, carried, coder):
    """(states, words), encoded by numpy's loops or by the vectors."""
    frequencies = tables.all()
    starts = np.cumsum(frequencies, 1) - frequencies
    states = carried.astype(np.uint32) | np.uint32(lanes.LOWEST)
    return coder(symbols, frequencies, starts, tables.choice, states)


def decoded(words, states, tables, size):
    """(the symbols or None, the states) by the vectors, as `lanes.decode` calls them."""
    out, states = np.empty(size, np.uint8), states.copy()
    used = lanes_vectors.decode(words, states, *tables.slots(), tables.choice, out)
    return (out if used == len(words) else None), states


def compare(symbols, tables, number):
    carried = RANDOM.integers(0, 1 << 16, number).astype(np.uint16)
    ours, theirs = (
        coded(symbols, tables, carried, coder) for coder in (lanes._encode, lanes_vectors.encode)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    found, left = decoded(theirs[1], ours[0], tables, len(symbols))
    np.testing.assert_array_equal(found, symbols)
    np.testing.assert_array_equal(left, carried.astype(np.uint32) + lanes.LOWEST)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [16, 64, 2048])
def test_sizes_around_those_of_vectors_and_steps(kind, number):
    near = {1, 15, 16, 17, 31, 32, 33, number - 1, number, number + 1, number + 17, 3 * number}
    for size in sorted(near | {4 * number - 15, 4096, 4097, 3 * 4096 - 1, 3 * 4096 + number + 5}):
        symbols = symbols_of(kind, size)
        compare(symbols, lanes.tables_for(symbols, False), number)


@pytest.mark.parametrize("kind", KINDS)
def test_many_symbols_with_several_tables(kind):
    symbols = symbols_of(kind, 300_001)
    tables = lanes.tables_for(symbols, False)
    assert kind != "scaled" or len(tables.frequencies) > 1
    compare(symbols, tables, lanes.lanes_for(len(symbols)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_lesser_processor_does_the_same(kind, monkeypatch):
    features = {
        name: on and (not name.startswith("avx512") or name in lanes_code.WIDE)
        for name, on in machine_code.features_here().items()
    }
    code = machine_code.compiled(lanes_code.source(features), list(lanes_code.ARGUMENTS), features)
    bound = machine_code.bound(code, lanes_code.ARGUMENTS)
    monkeypatch.setattr(lanes_vectors, "kernels", lambda: bound)
    symbols = symbols_of(kind, 30_001)
    compare(symbols, lanes.tables_for(symbols, False), 64)


def test_states_are_divided_exactly_by_every_frequency():
    """The vectors divide in floating point. Multiples of a frequency, and one less, are hardest."""
    symbols, choice = np.repeat(np.arange(256), 8).astype(np.uint8), np.zeros(1, np.uint8)
    for first in range(1, lanes.TOTAL, 256):
        frequencies = np.arange(first, first + 256)[None]
        divisor = frequencies[0, symbols]
        most = divisor << 20  # a state from here on is shortened first
        quotient = RANDOM.integers(most // divisor - 4096, most // divisor + 1)
        quotient[::3] = RANDOM.integers(lanes.LOWEST // divisor + 1, most // divisor + 1)[::3]
        wanted = quotient * divisor - RANDOM.integers(0, 2, len(symbols))
        wanted[::8] = most[::8] - 1
        states = np.clip(wanted, lanes.LOWEST, (1 << 32) - 1).astype(np.uint32)
        starts = RANDOM.integers(0, lanes.TOTAL, (1, 256))
        ours, theirs = (
            coder(symbols, frequencies, starts, choice, states.copy())
            for coder in (lanes._encode, lanes_vectors.encode)
        )
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [5000, 70_001])
def test_damaged_words_and_states_do_the_same(size):
    symbols = symbols_of("skewed", size)
    tables = lanes.tables_for(symbols, False)
    states, words = coded(symbols, tables, np.zeros(64, np.uint16), lanes._encode)
    cases = [words[:-1], words[:1], words[:0], np.append(words, np.uint16(7)), words[::-1]]
    cases += [words[: len(words) // 2], np.append(words, np.zeros(64, np.uint16))]
    for _ in range(20):
        flipped = words.copy()
        flipped[RANDOM.integers(len(words))] ^= np.uint16(1 << RANDOM.integers(16))
        cases.append(flipped)
    refused = 0
    for wrong in cases:
        begun = states.copy()
        if RANDOM.random() < 0.5:
            begun[RANDOM.integers(64)] = RANDOM.integers(lanes.LOWEST, 1 << 32)
        after = begun.copy()
        wanted = lanes.decode(wrong, after, tables, size, False)
        found, left = decoded(wrong, begun, tables, size)
        refused += wanted is None
        assert (wanted is None) == (found is None)
        if wanted is not None:
            np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(left, after)
    assert refused >= 6


def test_large_planes_are_coded_in_vectors(monkeypatch):
    pytest.importorskip("numba")
    asked, decode = [], lanes_vectors.decode
    monkeypatch.setattr(lanes_vectors, "decode", lambda *a: asked.append(len(a[-1])) or decode(*a))
    for size in (3000, 1 << 17):
        symbols = symbols_of("skewed", size)
        tables = lanes.tables_for(symbols, True)
        carried = np.arange(lanes.lanes_for(size)).astype(np.uint16)
        states, words = lanes.encode(symbols, tables, carried, True)
        np.testing.assert_array_equal(lanes.decode(words, states, tables, size, True), symbols)
        np.testing.assert_array_equal(states, carried.astype(np.uint32) + lanes.LOWEST)
    assert asked == [1 << 17]


def test_states_with_gaps_and_threads():
    symbols = symbols_of("skewed", 100_000)
    tables = lanes.tables_for(symbols, False)
    states, words = coded(symbols, tables, np.zeros(64, np.uint16), lanes._encode)
    apart = np.repeat(states, 2)[::2]
    out = np.empty(len(symbols), np.uint8)
    assert lanes_vectors.decode(words, apart, *tables.slots(), tables.choice, out) == len(words)
    assert (apart == lanes.LOWEST).all()
    with ThreadPoolExecutor(4) as threads:
        for found, _ in threads.map(lambda _: decoded(words, states, tables, 100_000), range(16)):
            np.testing.assert_array_equal(found, symbols)


def test_what_would_be_read_past_is_refused():
    symbols = symbols_of("skewed", 5000)
    tables = lanes.tables_for(symbols, False)
    with pytest.raises(ValueError, match="whole vectors; give a multiple of 16"):
        coded(symbols, tables, np.zeros(4, np.uint16), lanes_vectors.encode)
    for choice in (np.zeros(1, np.uint8), np.ones(2, np.uint8)):
        other = lanes.Tables(tables.lowest, tables.frequencies, choice)
        with pytest.raises(IndexError, match="none of the 1 tables"):
            coded(symbols, other, np.zeros(16, np.uint16), lanes_vectors.encode)
        with pytest.raises(IndexError, match="none of the 1 tables"):
            decoded(np.zeros(9, np.uint16), np.full(16, 1 << 16, np.uint32), other, 5000)
