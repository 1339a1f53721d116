"""Descriptions of tensors that no writer makes.

Each is refused by name, and a few bytes never cost much.
"""

import time
import tracemalloc

import numpy as np
import pytest

from shoestring.artifact.coding import entropy
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.coding.context import Choice
from shoestring.artifact.format import tensor_reader
from shoestring.artifact.format.tensors import (
    BFLOAT16,
    CONTEXT,
    GRID,
    GRIDS,
    HALF,
    LEVELS,
    NUMBERS,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
)
from shoestring.artifact.wire import ShoeError, Writer

LIMIT = 1 << 30
ONE, TILES = (
    bytes([0, 1 << 2]),
    bytes([4 << 5, 1 << 2]),
)  # models: of one digit, one by one and in tiles


def unpack(headers, stream=b"", plain=b"", limit=LIMIT, version=2):
    return tensor_reader.unpack(headers, memoryview(stream), memoryview(plain), limit, version)


def numbers(*many: int) -> bytes:
    out = Writer()
    for number in many:
        out.varint(number)
    return bytes(out)


def one(coding: int, shape: tuple[int, ...], more: bytes = b"", element: str = "float32") -> bytes:
    """A list of one tensor, a parameter."""
    first = (element != "float32") << 6 | len(shape) << 3 | coding
    return (
        bytes([1, first])
        + (numbers(NUMBERS[element]) if element != "float32" else b"")
        + numbers(*shape)
        + more
    )


HOSTILE = {
    "element": (bytes([1, 1 << 6 | RAW, 0]), "no element type 0"),
    "complex": (bytes([1, 1 << 6 | RAW, 14]), "no element type 14"),
    "axes": (bytes([1, 7 << 3 | RAW, 33]), "over 32"),
    "shape": (one(RAW, (1 << 30, 1 << 30)), "no tensor has the shape"),
    "empty shape": (one(ZEROS, (0, 1 << 30, 1 << 30)), "no tensor has the shape"),
    "axis": (one(RAW, (1 << 41,)), "is over"),
    "many": (numbers(1 << 20), "over 32768"),
    "more": (numbers(0, 0), "1 bytes too many"),
    "cut": (bytes([1]), "1 bytes are wanted"),
    "step": (bytes([1, 1 << 7 | RAW]) + numbers((1 << 32) + 1), "is over"),
    "raw": (one(RAW, (3,)), "12 bytes are wanted"),
    "no levels": (one(LEVELS, (3,), bytes([0, 0])), "no levels"),
    "levels": (one(LEVELS, (3,), bytes([4, 0])), "over 3"),
    "levels of nothing": (one(LEVELS, (0,), bytes([1, 0])), "over 0"),
    "form": (one(LEVELS, (3,), bytes([1, 3])), "no form 3"),
    "form of int64": (
        one(LEVELS, (3,), bytes([1, HALF]), "int64"),
        "levels of int64 have no form 1",
    ),
    "table": (one(LEVELS, (3,), bytes([2, HALF, 1])), "wanted"),
    "sparse": (one(SPARSE, (3,), bytes([1])), "2 bytes are wanted"),
    "plane": (one(PLANES, (3,), bytes([1 << 4])), "there is no byte 4"),
    "plane of a byte": (one(PLANES, (3,), bytes([2]), "uint8"), "there is no byte 1"),
    "byte": (one(PLANES, (3,), bytes([1, 255, 1]), "int8"), "a byte is over 255"),
    "plain plane": (one(PLANES, (3,), bytes([0])), "3 bytes are wanted"),
    "truth": (one(PLANES, (3,), bytes([1, 2, 0]), "bool"), "a bool is neither"),
    "order": (one(GRID, (3, 3), bytes([5 << 5, 1 << 2])), "there is no order 5"),
    "highest order": (one(CONTEXT, (3, 3), bytes([255, 1 << 2])), "there is no order 7"),
    "digits": (one(GRID, (3, 3), bytes([0, 0])), "no digits"),
    "no width": (one(GRID, (3, 3), bytes([4, 1 << 2, 0])), "a width where there can be none"),
    "width": (one(GRID, (3, 3), bytes([4, 1 << 2, 4])), "the number 4 is over 3"),
    "width of one axis": (one(GRID, (3,), bytes([4, 1 << 2, 4])), "the number 4 is over 3"),
    "width across": (
        one(GRID, (3, 3), bytes([1 << 4 | 4, 1 << 2, 2])),
        "a width where there can be none",
    ),
    "context of a scalar": (one(GRID, (), ONE), "without elements or axes"),
    "context of nothing": (one(GRIDS, (0, 3), ONE), "without elements or axes"),
    "level": (one(CONTEXT, (3, 3), ONE + numbers(1, 1)), "there is no such level"),
    "no level": (one(CONTEXT, (3, 3), ONE + numbers(0, 0)), "there is no such level"),
    "many levels": (one(CONTEXT, (3, 3), ONE + numbers(65537, 0)), "over 65536"),
    "far level": (one(CONTEXT, (3, 3), ONE + numbers(1, 65537)), "over 65536"),
    "furthest level": (one(CONTEXT, (3, 3), TILES + numbers(1, 65536)), "there is no such level"),
    "grid of halves": (one(GRID, (3, 3), ONE, "float16"), "there is no grid of float16"),
    "grids of int32": (one(GRIDS, (3, 3), ONE, "int32"), "there is no grid of int32"),
    "grid form": (one(GRID, (3, 3), bytes([0, 1 << 2 | 3])), "no form 3"),
    "level form": (
        one(CONTEXT, (3, 3), bytes([0, 1 << 2 | 2]) + numbers(1, 0), "int32"),
        "levels of int32 have no form 2",
    ),
    "one by one": (
        one(GRID, (1 << 13, 1 << 12), ONE),
        "more than 16777216 numbers come one by one",
    ),
    "long row": (one(GRID, (1, (1 << 20) + 1), TILES), "a row has more than 1048576 numbers"),
    "long row of one axis": (
        one(GRID, ((1 << 20) + 1,), TILES),
        "a row has more than 1048576 numbers",
    ),
    "long column": (
        one(GRID, ((1 << 20) + 1, 1), bytes([4 << 5 | 1 << 4, 1 << 2])),
        "a row has more than 1048576 numbers",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_descriptions(name):
    headers, why = HOSTILE[name]
    with pytest.raises(ShoeError, match=why):
        unpack(headers, b"", bytes(8) if "level" in name or name == "grid" else b"")


@pytest.mark.parametrize(
    ("headers", "plain", "why"),
    [
        (one(RAW, (3,)), bytes(13), "1 bytes too many"),
        (one(RAW, (1,), element="bool"), b"\2", "a bool is neither"),
        (one(LEVELS, (3,), bytes([1, HALF])), b"\x01\x7c", "not a number"),
        (one(GRID, (3,), bytes([0, 1 << 2 | HALF])), b"\x01\xfe", "not a number"),
        (one(GRID, (3, 2), ONE), np.float32(np.nan).tobytes(), "a scale is not finite"),
        (one(GRID, (3, 2), TILES), np.float32(-np.inf).tobytes(), "a scale is not finite"),
        (one(GRID, (3, 2), bytes([0, 1 << 2 | HALF])), b"\0\x7c", "a scale is not finite"),
        (one(GRID, (3, 2), bytes([0, 1 << 2 | BFLOAT16])), b"\x80\x7f", "a scale is not finite"),
        (one(GRIDS, (3, 2), ONE), np.float32([1, 2, np.inf]).tobytes(), "a scale is not finite"),
        (one(GRID, (3, 2), ONE), bytes(3), "4 bytes are wanted and 3 are left"),
        (one(GRIDS, (3, 2), ONE), bytes(11), "12 bytes are wanted and 11 are left"),
        (one(GRIDS, (3,), ONE), bytes(5), "1 bytes too many"),
    ],
)
def test_hostile_values(headers, plain, why):
    with pytest.raises(ShoeError, match=why):
        unpack(headers, b"", plain)


@pytest.mark.parametrize(
    ("headers", "plain", "why"),
    [
        (numbers(1, 0, 0, 0, 0), b"", "no element type 0"),
        (numbers(1, 0, 8, 0, 0), b"", "no element type 8"),
        (numbers(1, 0, 1, 1, 3, 3), bytes(12), "no coding 3"),
        (numbers(1, 0, 1, 1, 3, GRID, 0), bytes(12), "no coding 5"),
        (numbers(1, 0, 1, 1, 3, RAW), bytes(11), "12 bytes are wanted"),
        (numbers(1, 0, 1, 1, 3, RAW), bytes(13), "1 bytes too many"),
        (numbers(1, 0, 1, 33), b"", "over 32"),
        (numbers(1, 0, 1, 2, 1 << 30, 1 << 30, RAW), b"", "no tensor has the shape"),
        (numbers(1, 0, 1, 3, 0, 1 << 30, 1 << 30, RAW), b"", "no tensor has the shape"),
        (numbers(1, 0, 1, 1, 1 << 40, LEVELS, 1, 0), bytes(4), "raise max_bytes"),
        (numbers(1, 0, 1, 1, 3, LEVELS, 0, 0), b"", "no levels"),
        (numbers(1, 0, 1, 1, 3, LEVELS, 4, 0), bytes(16), "over 3"),
        (numbers(1, 0, 1, 1, 3, LEVELS, 1, 3), bytes(4), "no form 3"),
        (numbers(1, 0, 7, 1, 3, LEVELS, 1, HALF), bytes(4), "no form 1"),
        (numbers(1, 0, 1, 1, 3, LEVELS, 1, HALF), b"\x01\x7c", "not a number"),
        (numbers(1, 0, 9, 1, 1, RAW), b"\2", "a bool is neither"),
        (numbers(1 << 20), b"", "over 32768"),
        (numbers(0, 0), b"", "1 bytes too many"),
    ],
)
def test_hostile_descriptions_of_version_1(headers, plain, why):
    with pytest.raises(ShoeError, match=why):
        unpack(headers, b"", plain, version=1)


@pytest.mark.parametrize("version", [1, 2])
def test_symbols_left_over(version):
    with pytest.raises(ShoeError, match="does not end"):
        unpack(numbers(0), b"\1\0\0\0", version=version)
    with pytest.raises(ShoeError, match="cannot be read"):
        unpack(numbers(0), b"\1\0\0", version=version)
    with pytest.raises(ShoeError, match="cannot be read"):
        unpack(numbers(0), b"\1\0\0\0\0\0\0\0", version=version)


@pytest.mark.parametrize("tiles", [0, 3])
def test_symbols_left_over_after_a_matrix(tiles):
    levels, choice = np.array([[1, 0], [-1, 1]]), Choice(tiles, strength=0, rate=0)
    stream = entropy.encode([(context_coding.notes(choice, levels), None)])
    model = Writer()
    context_coding.write(model, choice, 0)
    headers = one(GRID, (2, 2), bytes(model))
    (found,) = unpack(headers, stream, np.float32(0.5).tobytes())
    assert np.array_equal(found.tensor.array(), levels * np.float32(0.5))
    with pytest.raises(ShoeError, match="does not end"):
        unpack(headers, stream[:-1] + bytes([stream[-1] ^ 64]), np.float32(0.5).tobytes())
    with pytest.raises(ShoeError, match="does not end"):
        unpack(headers, stream + b"\1\0\0\0", np.float32(0.5).tobytes())


@pytest.mark.parametrize("tiles", [0, 3])
@pytest.mark.parametrize("level", [-1, 1])
def test_a_level_that_is_not_there(tiles, level):
    levels, choice = np.array([[0, 0], [0, level]]), Choice(tiles, strength=0, rate=0)
    stream = entropy.encode([(context_coding.notes(choice, levels), None)])
    model = Writer()
    context_coding.write(model, choice, 0)
    for count, zero in ((3, 1), (2, 0), (2, 1), (1, 0)):
        headers = one(CONTEXT, (2, 2), bytes(model) + numbers(count, zero))
        plain = np.arange(count, dtype=np.float32).tobytes()
        if 0 <= zero + level < count:
            (found,) = unpack(headers, stream, plain)
            assert np.array_equal(found.tensor.array(), levels + zero)
        else:
            with pytest.raises(ShoeError, match="there is no such level"):
                unpack(headers, stream, plain)


# -- little from little


def spent(headers, plain, limit):
    """(seconds, bytes, what was said) of reading what may be refused."""
    tracemalloc.start()
    start = time.process_time()
    try:
        unpack(headers, b"", plain, limit)
        said = ""
    except ShoeError as error:
        said = str(error)
    seconds, most = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, most, said


LARGE = [
    (1 << 34,),
    (1 << 20, 1 << 20),
    (1, 1 << 30),
    (1 << 30, 1),
    (1 << 10, 1 << 9, 1 << 11),
    (1 << 24, 3, 3, 3),
]
CLAIMS = {
    "raw": (RAW, b""),
    "levels": (LEVELS, bytes([1, 0])),
    "two levels": (LEVELS, bytes([2, 0, 9, 9])),
    "sparse": (SPARSE, bytes([9, 0])),
    "equal planes": (PLANES, bytes([15, *[1, 0] * 4])),
    "planes": (PLANES, bytes([15, *[1, 1, 9, 9] * 4])),
    "levels one by one": (CONTEXT, ONE + numbers(1, 0)),
    "levels in tiles": (CONTEXT, TILES + numbers(1, 0)),
    "grid": (GRID, TILES),
    "grid of one block": (GRID, bytes([1 << 5, 15 << 2])),
    "wide grid": (GRID, bytes([4 << 5 | 4, 15 << 2]) + numbers(1)),
    "grid across": (GRID, bytes([4 << 5 | 1 << 4, 15 << 2])),
    "grids": (GRIDS, ONE),
    "zeros": (ZEROS, b""),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_few_bytes_that_claim_much_are_refused_at_once(name):
    coding, more = CLAIMS[name]
    for shape in LARGE:
        seconds, most, said = spent(one(coding, shape, more), bytes(8), LIMIT)
        assert "raise max_bytes" in said
        assert most < 1 << 20
        assert seconds < 0.5


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize(
    "shape",
    [
        (1 << 23,),
        (1 << 20,),
        (1 << 10, 1 << 10),
        (1 << 20, 1),
        (1, 1 << 20),
        (1 << 16, 1),
        (1 << 12, 1, 3, 3),
    ],
)
def test_what_is_allowed_takes_no_more_than_that(name, shape):
    """Of empty streams and hardly any values.

    Everything that a reader makes is in the limit, or it says so.
    """
    context_coding.notes(
        Choice(0), np.zeros((200, 200), np.int64)
    )  # whatever is to be compiled is so before
    coding, more = CLAIMS[name]
    if coding in (CONTEXT, GRID, GRIDS) and not more[0] >> 5 and np.prod(shape) > 1 << 13:
        shape = tuple(
            min(size, 1 << 6) for size in shape
        )  # one by one takes its time where nothing is compiled
    for limit in (1 << 22, 1 << 23, 1 << 25):
        plain = (
            bytes(4 * shape[0])
            if coding == GRIDS and len(shape) > 1
            else bytes(8 if coding == LEVELS and more[0] == 2 else 4)
        )
        plain = b"" if coding in (RAW, SPARSE, PLANES, ZEROS) else plain
        seconds, most, said = spent(one(coding, shape, more), plain, limit)
        assert not said or "max_bytes" in said or "a row has more than" in said or coding == RAW
        assert most < 1.5 * limit + (1 << 24)
        assert seconds < 20


def test_many_small_tensors_before_a_long_stream():
    """Each of them looks at the end of the stream only."""
    count = 3000
    headers = numbers(count) + (bytes([GRID | 1 << 3, 1]) + ONE) * count
    start = time.process_time()
    with pytest.raises(ShoeError, match="does not end"):
        unpack(headers, b"\1" * (1 << 22), bytes(4 * count))
    assert time.process_time() - start < 15
