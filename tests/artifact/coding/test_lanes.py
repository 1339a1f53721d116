"""The coder in lanes: numpy's against a slow reference, and the compiled loops against numpy's."""

import numpy as np
import pytest

from shoestring.artifact.coding import lanes, lanes_loop

RANDOM = np.random.default_rng(3)
compiled = pytest.mark.skipif(not lanes_loop.available(), reason="numba is not installed")


def symbols_of(kind: str, size: int) -> tuple[np.ndarray, int]:
    """(symbols, how many there may be)."""
    if kind == "even":
        return RANDOM.integers(0, 256, size).astype(np.uint8), 256
    if kind == "skewed":
        return np.minimum(RANDOM.geometric(0.4, size) - 1, 40).astype(np.uint8), 41
    if kind == "rare":
        return (RANDOM.random(size) < 1e-4).astype(np.uint8), 2
    scales = np.repeat(RANDOM.integers(0, 30, -(-size // 500)), 500)[:size]
    return (scales + RANDOM.integers(0, 9, size)).astype(np.uint8), 40


def slow(words, states, tables, count):
    """The page's decoder, one symbol at a time."""
    words, states, found, all_of = list(map(int, words)), list(map(int, states)), [], tables.all()
    for i in range(count):
        lane, frequencies = i % len(states), all_of[tables.choice[i // lanes.SEGMENT]]
        x = states[lane]
        q, start, symbol = x % lanes.TOTAL, 0, 0
        while q >= start + frequencies[symbol]:
            start += int(frequencies[symbol])
            symbol += 1
        x = int(frequencies[symbol]) * (x // lanes.TOTAL) + q - start
        states[lane] = x if x >= lanes.LOWEST else x << 16 | words.pop(0)
        found.append(symbol)
    return found, states, words


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((kind, size) for kind in ("even", "skewed", "rare", "scaled") for size in (1, 2, 2049)),
        ("skewed", 9001),
        ("scaled", 70_001),
    ],
)
def test_what_is_encoded_comes_back(kind, size):
    symbols, _ = symbols_of(kind, size)
    tables = lanes.tables_for(symbols, False)
    number = lanes.lanes_for(size)
    carried = RANDOM.integers(0, 1 << 16, number).astype(np.uint16)
    states, words = lanes.encode(symbols, tables, carried, False)
    assert states.dtype == np.uint32 and words.dtype == np.uint16 and len(states) == number
    assert (tables.frequencies.sum(1) == lanes.TOTAL).all() and (states >= lanes.LOWEST).all()
    found, left, rest = slow(words, states, tables, size)
    assert found == symbols.tolist() and not rest
    assert left == (carried.astype(int) + lanes.LOWEST).tolist()
    after = states.copy()
    decoded = lanes.decode(words, after, tables, size, False)
    np.testing.assert_array_equal(decoded, symbols)
    assert after.tolist() == left


@compiled
@pytest.mark.parametrize("kind", ["even", "skewed", "rare", "scaled"])
@pytest.mark.parametrize("size", [1, 2047, 300_001])
def test_compiled_loops_do_the_same(kind, size):
    symbols, _ = symbols_of(kind, size)
    tables, fast = (lanes.tables_for(symbols, fast) for fast in (False, True))
    np.testing.assert_array_equal(tables.frequencies, fast.frequencies)
    np.testing.assert_array_equal(tables.choice, fast.choice)
    carried = RANDOM.integers(0, 1 << 16, lanes.lanes_for(size)).astype(np.uint16)
    ours, theirs = (lanes.encode(symbols, tables, carried, fast) for fast in (False, True))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
    states = ours[0].copy()
    decoded = lanes.decode(ours[1], states, tables, size, True)
    np.testing.assert_array_equal(decoded, symbols)
    np.testing.assert_array_equal(states, carried.astype(np.uint32) + lanes.LOWEST)


@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=compiled)])
def test_words_that_are_missing_or_left_are_noticed(fast):
    symbols, _ = symbols_of("skewed", 5000)
    tables = lanes.tables_for(symbols, False)
    states, words = lanes.encode(symbols, tables, np.zeros(4, np.uint16), False)
    for wrong in (words[:-1], words[:0], np.append(words, np.uint16(7))):
        assert lanes.decode(wrong, states.copy(), tables, 5000, fast) is None


def test_the_size_is_near_the_entropy():
    symbols, _ = symbols_of("skewed", 1 << 20)
    tables = lanes.tables_for(symbols, False)
    states, words = lanes.encode(symbols, tables, np.zeros(1024, np.uint16), False)
    share = np.bincount(symbols) / len(symbols)
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum() * len(symbols) / 8
    size = 2 * len(words) + 2 * len(states)  # two of the four bytes of a state are carried
    assert entropy < size < 1.005 * entropy
    assert abs(tables.bytes - entropy) < 0.003 * entropy


def test_segments_of_other_scales_get_other_tables():
    symbols, _ = symbols_of("scaled", 1 << 19)
    tables = lanes.tables_for(symbols, False)
    assert 1 < len(tables.frequencies) <= lanes.MOST_TABLES
    even, _ = symbols_of("even", 1 << 19)
    assert len(lanes.tables_for(even, False).frequencies) == 1


@pytest.mark.parametrize(
    ("count", "number"), [(1, 1), (2047, 1), (2048, 2), (1 << 20, 1024), (1 << 22, 2048)]
)
def test_lanes_grow_with_the_symbols(count, number):
    assert lanes.lanes_for(count) == number
