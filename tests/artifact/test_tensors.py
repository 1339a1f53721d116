"""Tensors come back bit for bit, in the smallest of three codings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.artifact import tensors as packing
from shoestring.artifact.tensors import BRAIN, HALF, LEVELS, RAW, SPARSE, Tensor, tensor, unsigned
from shoestring.artifact.wire import ShoeError, Writer

quiet = settings(derandomize=True, database=None, deadline=None, max_examples=150)
LIMIT = 1 << 30


def unpack(packed, limit=LIMIT):
    return packing.unpack(bytes(packed.headers), memoryview(packed.stream), memoryview(bytes(packed.plain)), limit)


def check(tensors):
    packed = packing.pack(tensors)
    found = unpack(packed)
    for before, ours, after in zip(tensors, packed.packed, found, strict=True):
        assert after.tensor.element == before.element
        assert after.tensor.member == before.member
        assert after.tensor.bits.dtype == before.bits.dtype
        assert after.tensor.bits.shape == before.bits.shape
        assert after.tensor.bits.tobytes() == before.bits.tobytes()
        for part in ("coding", "model_bits", "raw_bytes", "header_bytes", "levels"):
            assert getattr(ours, part) == pytest.approx(getattr(after, part))
    return packed, found


@st.composite
def anything(draw):
    element = draw(st.sampled_from(list(packing.ELEMENTS)))
    shape = draw(st.lists(st.integers(0, 6), max_size=4))
    count = int(np.prod(shape))
    top = 1 if packing.ELEMENTS[element][0] == "bool" else 256 ** packing.ELEMENTS[element][1] - 1
    pool = draw(st.lists(st.integers(0, top), min_size=1, max_size=20)) + [0] * draw(st.integers(0, 20))
    bits = draw(st.lists(st.sampled_from(pool), min_size=count, max_size=count))
    return Tensor(element, np.array(bits, unsigned(element)).reshape(shape))


@quiet
@given(st.lists(st.tuples(anything(), st.integers(0, 3)), max_size=6))
def test_round_trip(drawn):
    member, tensors = -1, []
    for one, step in drawn:
        member += step
        tensors.append(Tensor(one.element, one.bits, member if step else None))
    check(tensors)


@pytest.mark.parametrize("element", list(packing.ELEMENTS))
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (40, 50)])
def test_every_element_type_and_shape(element, shape):
    rng = np.random.default_rng(0)
    top = 2 if packing.ELEMENTS[element][0] == "bool" else 200
    for values in (rng.integers(0, top, shape), rng.integers(0, top, shape) * (rng.random(shape) < 0.02), np.zeros(shape)):
        check([Tensor(element, np.asarray(values).astype(unsigned(element)))])


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        (np.random.default_rng(0).normal(size=500).astype(np.float32), RAW),
        (np.random.default_rng(0).choice(np.array([0.1, 0.2, 0.7], np.float32), 500), LEVELS),
        (np.where(np.arange(500) % 20, 0, np.random.default_rng(0).normal(size=500)).astype(np.float32), SPARSE),
        (np.full(500, 3.25, np.float32), LEVELS),
        (np.empty((0, 4), np.float32), RAW),
    ],
)
def test_the_smallest_coding_is_chosen(values, coding):
    packed, _ = check([tensor(values)])
    assert packed.packed[0].coding == coding


def test_minus_zero_and_every_not_a_number_keep_their_bits():
    bits = np.array([0x80000000, 0x7FC00001, 0xFFC00000, 0x7F800001, 0x7FA00000, 0x7FC00000, 0, 0x3F800000], np.uint32)
    for count in (1, 3, 40):
        check([Tensor(1, np.tile(bits, count))])
    check(
        [
            Tensor(16, np.array([0x8000, 0x7F81, 0x7FC0, 0] * 40, np.uint16)),
            Tensor(10, np.array([0x7C01, 0x8000] * 40, np.uint16)),
        ]
    )


@pytest.mark.parametrize(
    ("values", "form", "bytes_each"), [([0.5, -0.0, 65504.0], HALF, 2), ([1e20, 1.0], BRAIN, 2), ([0.1, 0.2], 0, 4)]
)
def test_levels_are_kept_in_the_fewest_bytes(values, form, bytes_each):
    many = np.tile(np.array(values, np.float32), 30)
    bits = many.view(np.uint32) if form != BRAIN else many.view(np.uint32) & 0xFFFF0000
    packed, _ = check([Tensor(1, bits)])
    assert len(packed.plain) == bytes_each * len(values)
    assert packed.headers[7] == form  # of: one tensor, no member, float32, one axis of 90 or 60, levels, their number, form


def test_halves_that_are_no_numbers_are_not_kept_as_halves():
    packed, _ = check([Tensor(1, np.tile(np.array([0x7FC00000, 0x3F800000], np.uint32), 40))])
    assert packed.headers[7] == BRAIN


@pytest.mark.slow
def test_within_one_percent_of_static_entropy():
    """A model of 250,000 weights in several tensors, pruned and shared: codes, tables and levels, over its entropy."""
    rng = np.random.default_rng(1)
    tensors, ideal = [], 0.0
    for place, (shape, levels) in enumerate([((32, 16, 3, 3), 16), ((500, 400), 32), ((450, 100), 16), ((10, 40), 8)]):
        chances = rng.dirichlet(np.full(levels, 0.5))
        symbols = rng.choice(levels, shape, p=chances)
        values = rng.normal(size=levels).astype(np.float16).astype(np.float32)
        tensors.append(tensor(values[symbols], place))
        _, counts = np.unique(symbols, return_counts=True)
        ideal -= float((counts * np.log2(counts / counts.sum())).sum()) / 8
    packed, _ = check(tensors)
    count = sum(one.bits.size for one in tensors)
    assert count >= 249_000
    assert len(packed.headers) + len(packed.stream) + len(packed.plain) < 1.01 * ideal


def test_decoding_in_chunks_is_decoding_at_once(monkeypatch):
    monkeypatch.setattr(packing, "_CHUNK", 7)
    rng = np.random.default_rng(0)
    check(
        [tensor(rng.choice(np.array([0.1, 0.2, 0.3], np.float32), 100)), tensor(rng.integers(0, 3, (5, 21)).astype(np.uint8))]
    )


def test_too_large_for_the_limit():
    packed = packing.pack([tensor(np.zeros(1000, np.float32))])
    unpack(packed, 4000)
    with pytest.raises(ShoeError, match="raise max_bytes"):
        unpack(packed, 3999)


def header(*numbers: int) -> bytes:
    out = Writer()
    for number in numbers:
        out.varint(number)
    return bytes(out)


@pytest.mark.parametrize(
    ("headers", "plain", "why"),
    [
        (header(1, 0, 0, 0, 0), b"", "no element type 0"),
        (header(1, 0, 8, 0, 0), b"", "no element type 8"),
        (header(1, 0, 1, 1, 3, 3), bytes(12), "no coding 3"),
        (header(1, 0, 1, 1, 3, RAW), bytes(11), "12 bytes are wanted"),
        (header(1, 0, 1, 1, 3, RAW), bytes(13), "1 bytes too many"),
        (header(1, 0, 1, 33), b"", "over 32"),
        (header(1, 0, 1, 2, 1 << 30, 1 << 30, RAW), b"", "no tensor has the shape"),
        (header(1, 0, 1, 3, 0, 1 << 30, 1 << 30, RAW), b"", "no tensor has the shape"),
        (header(1, 0, 1, 1, 1 << 40, LEVELS, 1, 0), bytes(4), "raise max_bytes"),
        (header(1, 0, 1, 1, 3, LEVELS, 0, 0), b"", "no levels"),
        (header(1, 0, 1, 1, 3, LEVELS, 4, 0), bytes(16), "over 3"),
        (header(1, 0, 1, 1, 3, LEVELS, 1, 3), bytes(4), "no form 3"),
        (header(1, 0, 7, 1, 3, LEVELS, 1, HALF), bytes(4), "no form 1"),
        (header(1, 0, 1, 1, 3, LEVELS, 1, HALF), b"\x01\x7c", "not a number"),
        (header(1, 0, 9, 1, 1, RAW), b"\2", "truth value"),
        (header(1 << 20), b"", "over 32768"),
        (header(0, 0), b"", "1 bytes too many"),
    ],
)
def test_hostile_descriptions(headers, plain, why):
    with pytest.raises(ShoeError, match=why):
        packing.unpack(headers, memoryview(b""), memoryview(plain), LIMIT)


def test_symbols_left_over():
    with pytest.raises(ShoeError, match="does not end"):
        packing.unpack(header(0), memoryview(b"\1\0\0\0"), memoryview(b""), LIMIT)


def test_what_a_file_cannot_hold():
    with pytest.raises(TypeError, match="complex64"):
        tensor(np.zeros(2, np.complex64))
    with pytest.raises(TypeError, match="bfloat16"):
        Tensor(16, np.zeros(2, np.uint16)).array()
    with pytest.raises(ValueError, match="order"):
        packing.pack([tensor(np.zeros(2), 1), tensor(np.zeros(2), 1)])


def test_other_byte_orders_and_layouts():
    values = np.arange(12, dtype=">f4").reshape(3, 4).T
    check([tensor(values)])
    assert np.array_equal(tensor(values).array(), values)
