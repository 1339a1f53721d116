"""Blocks: every kind, type and plane comes back, and damaged ones are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import repetitions

from shoestring.artifact import ShoeError
from shoestring.artifact.coding import lanes_loop
from shoestring.artifact.format import blocks
from shoestring.artifact.format.tensors import ELEMENTS, NUMBERS, unsigned

RANDOM = np.random.default_rng(4)
FAST = [False, True] if lanes_loop.available() else [False]


def weights(size: int) -> np.ndarray:
    scales = np.exp(0.4 * RANDOM.standard_normal(-(-size // 300))).repeat(300)[:size]
    return (0.02 * scales * RANDOM.standard_normal(size)).astype(np.float32)


def bits_of(name: str, size: int) -> tuple[np.ndarray, int]:
    """(bits, element type) of plausible elements of a type."""
    number = NUMBERS[name]
    if name == "bfloat16":
        return (weights(size).view(np.uint32) >> 16).astype(np.uint16), number
    if name in ("float32", "float64", "float16"):
        return weights(size).astype(name).view(unsigned(number)), number
    if name == "bool":
        return (RANDOM.random(size) < 0.2).astype(np.uint8), number
    return np.rint(weights(size) * 3000).astype(name).view(unsigned(number)), number


def back(data: bytes, element: int, count: int, fast: bool = False) -> np.ndarray:
    out = np.full(count, 77, unsigned(element))
    blocks.decode(memoryview(data), element, out, fast)
    return out


@pytest.mark.parametrize("fast", FAST)
@pytest.mark.parametrize("name", [name for name, _ in ELEMENTS.values()])
def test_every_type_comes_back(name, fast):
    for size in (1, 17, 20_000):
        bits, element = bits_of(name, size)
        data = blocks.encode(bits, element, fast)
        np.testing.assert_array_equal(back(data, element, size, fast), bits)
        assert len(data) <= bits.nbytes + 20


@pytest.mark.parametrize("fast", FAST)
def test_every_kind_of_block_and_plane(fast):
    sparse = weights(30_000) * (RANDOM.random(30_000) < 0.1)
    few = RANDOM.choice(weights(5), 30_000)
    seen = set()
    for values, kind in (
        (weights(30_000), blocks.PLANES),
        (sparse, blocks.SPARSE),
        (few, blocks.LEVELS),
        (np.zeros(30_000, np.float32), blocks.PLANES),
        (np.full(30_000, -1.5, np.float32), blocks.PLANES),
    ):
        bits = values.astype(np.float32).view(np.uint32)
        data = blocks.encode(bits, 1, fast)
        assert data[0] == kind
        np.testing.assert_array_equal(back(data, 1, 30_000, fast), bits)
        seen.add(len(data) < 20)
    assert seen == {True, False}  # one value takes no room


def test_nan_and_negative_zero_stay():
    bits = RANDOM.integers(0, 1 << 32, 3000, np.uint32)
    bits[:4] = 0x80000000, 0x7FC00001, 0xFF800000, 0
    np.testing.assert_array_equal(back(blocks.encode(bits, 1), 1, 3000), bits)


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_every_cut_and_every_change_is_an_answer_or_a_refusal(share):
    values = weights(900) * (RANDOM.random(900) < share)
    bits = values.astype(np.float32).view(np.uint32)
    data = blocks.encode(bits, 1)
    for end in {0, 1, 2, 3, 5, 50, len(data) // 2, len(data) - 1}:
        with pytest.raises(ShoeError):
            back(data[:end], 1, len(bits))
    with pytest.raises(ShoeError, match="bytes too many"):
        back(data + b"\0", 1, len(bits))
    refused = 0
    for at in [*range(80), *RANDOM.integers(80, len(data), 20)]:
        changed = bytearray(data)
        changed[at] ^= 1 << RANDOM.integers(8)
        try:
            found = back(bytes(changed), 1, len(bits))
        except ShoeError:
            refused += 1
            continue
        assert found.shape == bits.shape
    assert refused > 8


@settings(max_examples=repetitions(60, 300), deadline=None)
@given(st.binary(max_size=200), st.sampled_from(sorted(ELEMENTS)), st.integers(1, 3000))
def test_anything_is_an_answer_or_a_refusal(data, element, count):
    try:
        found = back(data, element, count)
    except ShoeError:
        return
    assert found.shape == (count,)


def test_what_is_refused_says_why():
    for data, why in (
        (b"\5", "no block of kind 5"),
        (b"\0\7", "no plane of kind 7"),
        (b"\0\2\0\xff\7", "wanted"),
        (b"\0\2\2\xff\0", "above 255"),
        (b"\0\2\0\1\x08", "too many tables"),
        (b"\0\2\0\1\0" + b"\1\1", "add up to 4096"),
        (b"\1\0", "must not be stored"),
        (b"\1\1\2", "neither zero nor given"),
        (b"\2\0" + bytes(4) + b"\1\1", "no such level"),
    ):
        with pytest.raises(ShoeError, match=why):
            back(data, 1, 100)
    with pytest.raises(ShoeError, match="neither 0 nor 1"):
        back(b"\0\1\2", NUMBERS["bool"], 100)
