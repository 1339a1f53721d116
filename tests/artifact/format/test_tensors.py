"""Tensors come back bit for bit, in the smallest of eight codings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import repetitions

from shoestring.artifact.format import tensor_reader, tensor_writer
from shoestring.artifact.format import tensors as packing
from shoestring.artifact.format.tensors import (
    BFLOAT16,
    CONTEXT,
    GRID,
    GRIDS,
    HALF,
    LEVELS,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    Tensor,
    tensor,
    unsigned,
)
from shoestring.artifact.wire import ShoeError, Writer

quiet = settings(derandomize=True, database=None, deadline=None, max_examples=repetitions(30, 150))
LIMIT = 1 << 30


def unpack(packed, limit=LIMIT):
    return tensor_reader.unpack(
        bytes(packed.headers), memoryview(packed.stream), memoryview(bytes(packed.plain)), limit
    )


def check(tensors, smallest=False):
    packed = tensor_writer.encode(tensors, smallest=smallest)
    found = unpack(packed)
    for before, ours, after in zip(tensors, packed.packed, found, strict=True):
        assert after.tensor.element == before.element
        assert after.tensor.member == before.member
        assert after.tensor.bits.dtype == before.bits.dtype
        assert after.tensor.bits.shape == before.bits.shape
        assert after.tensor.bits.tobytes() == before.bits.tobytes()
        for part in ("coding", "raw_bytes", "header_bytes", "levels"):
            assert getattr(ours, part) == getattr(after, part)
        # Of contexts the reader measures what left the stream, and a stream's first word is there
        # before it is used.
        near = {"abs": 33} if ours.coding in (CONTEXT, GRID, GRIDS) else {}
        assert ours.model_bits == pytest.approx(after.model_bits, **near)
    return packed, found


@st.composite
def anything(draw):
    element = draw(st.sampled_from(list(packing.ELEMENTS)))
    shape = draw(st.lists(st.integers(0, 6), max_size=4))
    count = int(np.prod(shape))
    top = 1 if packing.ELEMENTS[element][0] == "bool" else 256 ** packing.ELEMENTS[element][1] - 1
    pool = draw(st.lists(st.integers(0, top), min_size=1, max_size=20)) + [0] * draw(
        st.integers(0, 20)
    )
    bits = draw(st.lists(st.sampled_from(pool), min_size=count, max_size=count))
    return Tensor(element, np.array(bits, unsigned(element)).reshape(shape))


@quiet
@given(st.lists(st.tuples(anything(), st.integers(0, 3)), max_size=6))
def test_round_trip(drawn):
    member, tensors = -1, []
    for one, step in drawn:
        member += step
        tensors.append(Tensor(one.element, one.bits, member if step else None))
    usual, _ = check(tensors)
    least, _ = check(tensors, smallest=True)
    assert size(least) <= size(usual) + 1e-6


def size(packed):
    """Of the descriptions, the plain values and what the models give the symbols."""
    return (
        len(packed.headers) + len(packed.plain) + sum(one.model_bits for one in packed.packed) / 8
    )


@pytest.mark.parametrize("element", list(packing.ELEMENTS))
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (40, 50)])
def test_every_element_type_and_shape(element, shape):
    rng = np.random.default_rng(0)
    top = 2 if packing.ELEMENTS[element][0] == "bool" else 200
    for values in (
        rng.integers(0, top, shape),
        rng.integers(0, top, shape) * (rng.random(shape) < 0.02),
        np.zeros(shape),
    ):
        check([Tensor(element, np.asarray(values).astype(unsigned(element)))])


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        (np.random.default_rng(0).integers(0, 1 << 32, 500, np.uint32).view(np.float32), RAW),
        (np.random.default_rng(0).normal(size=500).astype(np.float32), PLANES),
        (np.random.default_rng(0).normal(size=(40, 50)), PLANES),
        (np.arange(500) * 70_001 + 1, PLANES),
        (np.random.default_rng(0).choice(np.array([0.1, 0.25, 0.77], np.float32), 500), LEVELS),
        (
            np.where(np.arange(500) % 20, 0, np.random.default_rng(0).normal(size=500)).astype(
                np.float32
            ),
            SPARSE,
        ),
        (np.full(500, 3.25, np.float32), LEVELS),
        (np.empty((0, 4), np.float32), ZEROS),
        (np.zeros((3, 4)), ZEROS),
        (
            (np.random.default_rng(0).integers(-2, 3, (40, 50)) * (np.arange(50) % 3 > 0)).astype(
                "f4"
            )
            * np.float32(0.3),
            GRID,
        ),
        (
            np.linspace(0.1, 3, 40, dtype=np.float32)[:, None]
            * (np.arange(2000).reshape(40, 50) % 7 - 3).astype("f4"),
            GRIDS,
        ),
        (np.tile(np.array([0.31, 0.77, -0.12], np.float32), 400).reshape(40, 30), CONTEXT),
        (np.repeat([[1, 1000, 1_000_000]] * 20, 20, axis=1), CONTEXT),
    ],
)
def test_the_smallest_coding_is_chosen(values, coding):
    packed, _ = check([tensor(values)])
    assert packed.packed[0].coding == coding


def test_minus_zero_and_every_not_a_number_keep_their_bits():
    bits = np.array(
        [0x80000000, 0x7FC00001, 0xFFC00000, 0x7F800001, 0x7FA00000, 0x7FC00000, 0, 0x3F800000],
        np.uint32,
    )
    for count in (1, 3, 40):
        check([Tensor(1, np.tile(bits, count))])
    check(
        [
            Tensor(16, np.array([0x8000, 0x7F81, 0x7FC0, 0] * 40, np.uint16)),
            Tensor(10, np.array([0x7C01, 0x8000] * 40, np.uint16)),
        ]
    )


@pytest.mark.parametrize(
    ("values", "form", "bytes_each"),
    [([0.5, -0.0, 65504.0], HALF, 2), ([1e20, 1.0], BFLOAT16, 2), ([0.1, 0.37], 0, 4)],
)
def test_levels_are_kept_in_the_fewest_bytes(values, form, bytes_each):
    many = np.tile(np.array(values, np.float32), 30)
    bits = many.view(np.uint32) if form != BFLOAT16 else many.view(np.uint32) & 0xFFFF0000
    packed, _ = check([Tensor(1, bits)])
    assert len(packed.plain) == bytes_each * len(values)
    if packed.packed[0].coding == LEVELS:
        assert (
            packed.headers[5] == form
        )  # of: one tensor, its coding and axes, no member (0), 90 or 60 elements, 3 or 2 levels
    else:
        assert packed.headers[5] & 3 == form  # likewise: the second byte of the model


def test_halves_that_are_no_numbers_are_not_kept_as_halves():
    packed, _ = check([Tensor(1, np.tile(np.array([0x7FC00000, 0x3F800000], np.uint32), 40))])
    assert packed.packed[0].coding == LEVELS  # what is not a number has no place in a context
    assert packed.headers[5] == BFLOAT16


@pytest.mark.slow
def test_within_one_percent_of_static_entropy():
    """A model of 250,000 weights in several tensors, pruned and shared.

    Codes, tables and levels, over its entropy.
    """
    rng = np.random.default_rng(1)
    tensors, ideal = [], 0.0
    for place, (shape, levels) in enumerate(
        [((32, 16, 3, 3), 16), ((500, 400), 32), ((450, 100), 16), ((10, 40), 8)]
    ):
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
    monkeypatch.setattr(tensor_reader, "CHUNK", 7)
    rng = np.random.default_rng(0)
    check(
        [
            tensor(rng.choice(np.array([0.1, 0.2, 0.3], np.float32), 100)),
            tensor(rng.integers(0, 3, (5, 21)).astype(np.uint8)),
            tensor(rng.normal(size=(9, 30)).astype(np.float32)),
            tensor(rng.normal(size=300)),
        ]
    )


def test_too_large_for_the_limit():
    packed = tensor_writer.encode([tensor(np.zeros(1000, np.float32))])
    unpack(packed, 4000)
    with pytest.raises(ShoeError, match="raise max_bytes"):
        unpack(packed, 3999)


@pytest.mark.parametrize("element", [1, 11, 10, 16, 5, 6, 7, 13])
def test_bytes_of_equal_weight_together(element):
    """Numbers whose high bytes repeat and whose low ones do not, with what is not a number and
    minus zero among floats.
    """
    rng = np.random.default_rng(element)
    name, width = packing.ELEMENTS[element]
    if name == "bfloat16":
        bits = (rng.normal(size=3000).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    elif name in packing.FLOATS:
        bits = rng.normal(size=3000).astype(name).view(unsigned(element))
    else:
        bits = rng.integers(0, 1500, 3000).astype(unsigned(element))
    if name in packing.FLOATS:
        sign, quiet_bit = 8 * width - 1, {1: 22, 11: 51, 10: 9, 16: 6}[element]
        infinity = ((1 << sign) - 1) >> quiet_bit + 1 << quiet_bit + 1
        for odd in (
            1 << sign,
            infinity,
            infinity + 1,
            infinity + (1 << quiet_bit),
            (1 << sign) + infinity + 5,
        ):
            bits[rng.integers(0, 3000)] = odd
    packed, _ = check([Tensor(element, bits.reshape(60, 50))])
    assert packed.packed[0].coding == PLANES
    assert size(packed) < bits.nbytes


def test_few_large_numbers_take_the_bytes_that_vary():
    packed, _ = check([tensor((np.arange(2000) * 40_503 % 65_536 + (9 << 40)).astype(np.int64))])
    assert packed.packed[0].coding == PLANES
    assert len(packed.headers) < 24
    assert len(packed.plain) + len(packed.stream) <= 2 * 2000


def on_grid(steps, shape, seed=0, most=3):
    """Multiples of the steps, small ones more often; one step is in each slice."""
    levels = (
        np.rint(np.random.default_rng(seed).laplace(0, most / 5, shape))
        .clip(-most, most)
        .astype(np.float32)
    )
    if levels.ndim > 1 and levels[0].size > 1:
        levels.reshape(len(levels), -1)[:, 0] = 1
    return levels * np.asarray(steps, np.float32).reshape(-1, *[1] * (len(shape) - 1)) + np.float32(
        0
    )


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize(
    "shape", [(300,), (40, 30), (1, 900), (900, 1), (8, 5, 5, 5), (2, 3, 4, 5, 6), (16, 4, 1, 9)]
)
@pytest.mark.parametrize("step", [0.5, 0.1, 1e-30, 1e-40, 3e38 / 3])
def test_multiples_of_a_step(shape, step, smallest):
    packed, found = check([tensor(on_grid(step, shape))], smallest)
    assert packed.packed[0].coding == GRID
    assert found[0].scales.tolist() == [np.float32(step)]
    assert len(packed.stream) < 0.4 * np.prod(shape) + 40


@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize("shape", [(30, 40), (12, 3, 5, 5), (50, 7)])
def test_a_step_for_each_slice(shape, smallest):
    steps = np.random.default_rng(1).uniform(0.01, 0.1, shape[0]).astype(np.float32)
    values = on_grid(steps, shape)
    values[3] = 0
    packed, found = check([tensor(values)], smallest)
    assert packed.packed[0].coding == GRIDS
    wanted = np.where(np.arange(shape[0]) == 3, 0, steps).astype(np.float32)
    assert np.array_equal(found[0].scales, wanted)


def test_steps_of_sixteen_bits():
    halves = np.linspace(1, 2, 33).astype(np.float16)
    for steps, each in ((halves, 2), (np.linspace(0.1, 0.9, 33), 4), (2.0 ** np.arange(64, 97), 2)):
        packed, _ = check([tensor(on_grid(steps, (33, 40)))])
        assert packed.packed[0].coding == GRIDS
        assert len(packed.plain) == 33 * each


def test_minus_zero_is_on_no_grid():
    values = on_grid(0.1, (40, 50))
    values[0, 0] = -0.0
    packed, _ = check([tensor(values)])
    assert packed.packed[0].coding in (CONTEXT, LEVELS)


def test_what_is_not_finite_is_on_no_grid():
    for odd in (np.nan, np.inf, -np.inf):
        values = on_grid(0.1, (40, 50))
        values[1, 1] = odd
        packed, _ = check([tensor(values)])
        assert packed.packed[0].coding != GRID


@pytest.mark.parametrize("most", [1, 2, 127, 1000, (1 << 15) - 1])
def test_grids_of_many_levels(most):
    values = on_grid(0.25, (60, 70), most=most)
    values[0, :2] = 0.25, most * 0.25
    packed, _ = check([tensor(values)])
    assert packed.packed[0].coding == GRID


def test_more_multiples_than_a_grid_holds():
    values = on_grid(0.25, (60, 70), most=1 << 16)
    values[0, :2] = 0.25, (1 << 15) * 0.25
    packed, _ = check([tensor(values)])
    assert packed.packed[0].coding == PLANES


@pytest.mark.parametrize("element", [2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16])
def test_levels_of_every_type_in_context(element):
    """Most of a row is one level. Contexts predict that, a table of frequencies does not."""
    name, width = packing.ELEMENTS[element]
    rng = np.random.default_rng(0)
    count = 2 if name == "bool" else 5
    levels = (
        np.frombuffer(rng.bytes(5 * width), unsigned(element))
        if name != "bool"
        else np.arange(2, dtype=np.uint8)
    )
    if name in packing.FLOATS:
        levels = levels & unsigned(element).type((1 << (8 * width - 3)) - 1)  # no infinity
    symbols = (np.arange(60) // 6)[:, None] + (rng.random((60, 40)) < 0.1)
    packed, _ = check([Tensor(element, levels[symbols % count])])
    assert packed.packed[0].coding == CONTEXT
    check([Tensor(element, levels[symbols % count])], smallest=True)


@pytest.mark.parametrize("kind", [np.int8, np.int16])
def test_integers_are_a_grid_without_steps(kind):
    """As many bytes as their floats on a grid take, less the step.

    All of the type's range that a model has digits for.
    """
    rng = np.random.default_rng(0)
    values = (
        np.rint(rng.normal(size=(40, 50)) * np.linspace(1, 40, 40)[:, None])
        .clip(-127, 127)
        .astype(kind)
    )
    values[0, :2] = -128, 127
    packed, _ = check([tensor(values)])
    floats, _ = check([tensor(values.astype(np.float32) * np.float32(0.25))])
    assert packed.packed[0].coding == floats.packed[0].coding == GRID
    assert len(packed.stream) == len(floats.stream) and not packed.plain and floats.plain
    check([tensor(np.array([[np.iinfo(kind).min, np.iinfo(kind).max, 0, 1]], kind))])


def test_a_whole_number_that_the_type_does_not_hold_is_an_error():
    packed, _ = check([tensor((np.arange(2000).reshape(40, 50) % 250).astype(np.int16))])
    assert packed.packed[0].coding == GRID
    headers = bytearray(packed.headers)
    place = bytes(headers).index(5, 1)  # the element type, int16
    headers[place] = 3
    with pytest.raises(ShoeError, match="outside the range of int8"):
        tensor_reader.unpack(
            bytes(headers), memoryview(packed.stream), memoryview(packed.plain), 1 << 20
        )


def test_the_furthest_level():
    """Levels may be counted from any of them: a reader must not be short of bits for the sum."""
    for zero in (0, 40_000, 65_535, 65_536):
        model = bytes([4 << 5, 15 << 2])
        headers = (
            header(1) + bytes([CONTEXT | 1 << 3 | 1 << 6, 4, 9]) + model + header(65_536, zero)
        )
        plain = memoryview(np.arange(1 << 16, dtype="<u2").tobytes())
        if zero < 1 << 16:
            (found,) = tensor_reader.unpack(headers, memoryview(b""), plain, LIMIT)
            assert found.tensor.bits.tolist() == [zero] * 9
        else:
            with pytest.raises(ShoeError, match="no such level"):
                tensor_reader.unpack(headers, memoryview(b""), plain, LIMIT)


@pytest.mark.by_default("0")
@pytest.mark.parametrize("seed", range(4))
def test_smallest_is_never_larger(seed):
    rng = np.random.default_rng(seed)
    for shape in ((40, 30), (600,), (8, 8, 3, 3), (7, 200)):
        for values in (
            rng.integers(-1, 2, shape) * np.float32(0.1),
            rng.integers(-9, 9, shape) * np.float32(0.1),
            rng.choice(np.array([0.3, 0.4, 0.6], np.float32), shape),
            (rng.random(shape) < 0.02).astype(np.float32),
            np.ones(shape, np.float32),
            rng.normal(size=shape),
        ):
            one = tensor(np.asarray(values, np.float32))
            assert size(check([one], True)[0]) <= size(check([one])[0]) + 1e-6


def header(*numbers: int) -> bytes:
    out = Writer()
    for number in numbers:
        out.varint(number)
    return bytes(out)


def test_what_a_file_cannot_hold():
    with pytest.raises(TypeError, match="complex64"):
        tensor(np.zeros(2, np.complex64))
    with pytest.raises(TypeError, match="bfloat16"):
        Tensor(16, np.zeros(2, np.uint16)).array()
    with pytest.raises(ValueError, match="order"):
        tensor_writer.encode([tensor(np.zeros(2), 1), tensor(np.zeros(2), 1)])


def test_other_byte_orders_and_layouts():
    values = np.arange(12, dtype=">f4").reshape(3, 4).T
    check([tensor(values)])
    assert np.array_equal(tensor(values).array(), values)
