"""Tensors as bits, and the three ways in which a file keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact import entropy
from shoestring.artifact.wire import Reader, ShoeError, Writer

# ONNX element types, by number: name, bytes an element
ELEMENTS = {
    1: ("float32", 4), 2: ("uint8", 1), 3: ("int8", 1), 4: ("uint16", 2), 5: ("int16", 2), 6: ("int32", 4), 7: ("int64", 8),
    9: ("bool", 1), 10: ("float16", 2), 11: ("float64", 8), 12: ("uint32", 4), 13: ("uint64", 8), 16: ("bfloat16", 2),
}  # fmt: skip
NUMBERS = {name: number for number, (name, _) in ELEMENTS.items()}
RAW, LEVELS, SPARSE = range(3)
CODINGS = ("raw", "levels", "sparse")
WHOLE, HALF, BRAIN = range(3)  # how levels of a float32 tensor are kept: as they are, as float16, as bfloat16
MOST_AXES = 32
MOST_TENSORS = 1 << 15
_CHUNK = 1 << 20  # symbols decoded at a time, so that a large tensor is not in memory twice


@dataclass(frozen=True)
class Tensor:
    """A tensor's bits: `bits` is an unsigned array in its shape, `element` its ONNX element type.

    `member` is its place among the module's distinct parameters and buffers, None for a constant of the graph.
    """

    element: int
    bits: np.ndarray
    member: int | None = None

    def array(self) -> np.ndarray:
        """The values; raises TypeError for bfloat16, which numpy has not."""
        name = ELEMENTS[self.element][0]
        if name == "bfloat16":
            raise TypeError("numpy has no bfloat16")
        return self.bits.view(np.dtype(name))


def tensor(values: np.ndarray, member: int | None = None) -> Tensor:
    """A Tensor of a numpy array; raises TypeError for a type that a file cannot hold."""
    if values.dtype.name not in NUMBERS:
        raise TypeError(f"a file cannot hold tensors of type {values.dtype.name}")
    element = NUMBERS[values.dtype.name]
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))).reshape(values.shape)
    return Tensor(element, values.view(unsigned(element)), member)


def unsigned(element: int) -> np.dtype:
    """The unsigned type of an element's width."""
    return np.dtype(f"u{ELEMENTS[element][1]}")


@dataclass
class Packed:
    """How one tensor is kept, and what each part of it takes: `model_bits` of the shared stream, `raw_bytes`, `header_bytes`."""

    tensor: Tensor = field(default_factory=lambda: Tensor(1, np.empty(0, np.uint32)))
    coding: int = RAW
    model_bits: float = 0.0
    raw_bytes: int = 0
    header_bytes: int = 0
    levels: int = 0


@dataclass
class Tensors:
    """Three runs of bytes: descriptions, the entropy-coded stream, plain values."""

    headers: Writer = field(default_factory=Writer)
    stream: bytes = b""
    plain: Writer = field(default_factory=Writer)
    packed: list[Packed] = field(default_factory=list)


def pack(tensors: list[Tensor]) -> Tensors:
    """Each tensor in the way that is smallest for it."""
    out = Tensors()
    out.headers.varint(len(tensors))
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    previous = -1
    for one in tensors:
        member = 0 if one.member is None else one.member - previous
        if member < 0 or (one.member is not None and member == 0):
            raise ValueError("members must come in the order of the module")
        previous = previous if one.member is None else one.member
        header = Writer()
        header.varint(member)
        header.append(one.element)
        header.varint(one.bits.ndim)
        for size in one.bits.shape:
            header.varint(size)
        way = _smallest(one)
        header.append(way.coding)
        header += way.header
        parts += way.parts
        out.headers += header
        out.plain += way.plain
        out.packed.append(Packed(one, way.coding, way.model_bits, len(way.plain), len(header), way.levels))
    out.stream = entropy.encode(parts)
    return out


@dataclass(frozen=True)
class _Way:
    """A way to keep a tensor: its size in bytes (fractions count), and what goes where."""

    size: float
    coding: int
    header: bytes = b""
    plain: bytes = b""
    parts: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    model_bits: float = 0.0
    levels: int = 0


def _smallest(one: Tensor) -> _Way:
    flat = one.bits.reshape(-1)
    raw = _Way(flat.nbytes, RAW, plain=_little(flat))
    return min((raw, *_sparse(flat), *_shared(one.element, flat)), key=lambda way: (way.size, way.coding))


def _sparse(flat: np.ndarray) -> list[_Way]:
    nonzero = flat != 0
    ones = int(nonzero.sum())
    if not 0 < ones < flat.size:
        return []
    counts = np.array([flat.size - ones, ones])
    codes = entropy.shrink(counts)
    table = entropy.frequencies(codes)
    model_bits = entropy.bits(table, counts)
    size = model_bits / 8 + 2 + ones * flat.itemsize
    return [_Way(size, SPARSE, codes.tobytes(), _little(flat[nonzero]), ((nonzero, table),), model_bits)]


def _shared(element: int, flat: np.ndarray) -> list[_Way]:
    if not flat.size or not _few(flat):
        return []
    values, symbols, counts = np.unique(flat, return_inverse=True, return_counts=True)
    if len(values) > entropy.MOST_SYMBOLS:
        return []
    form, kept = _narrowest(element, values)
    header = Writer()
    header.varint(len(values))
    header.append(form)
    size = len(kept) + 3
    if len(values) == 1:
        return [_Way(size, LEVELS, bytes(header), kept, levels=1)]
    codes = entropy.shrink(counts)
    table = entropy.frequencies(codes)
    model_bits = entropy.bits(table, counts)
    size += model_bits / 8 + len(codes)
    header += codes.tobytes()
    return [_Way(size, LEVELS, bytes(header), kept, ((symbols, table),), model_bits, len(values))]


def _little(values: np.ndarray) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _few(flat: np.ndarray) -> bool:
    """Whether there can be few enough distinct values to be worth sorting for, judged on a sample of a large tensor."""
    if flat.size <= 1 << 16:
        return True
    sample = flat[:: max(1, flat.size >> 14)]
    return len(np.unique(sample)) < len(sample) * 0.9


def _narrowest(element: int, values: np.ndarray) -> tuple[int, bytes]:
    """Levels in the fewest bytes that keep every bit of them."""
    if ELEMENTS[element][0] == "float32":
        with np.errstate(over="ignore", invalid="ignore"):
            halves = values.view(np.float32).astype(np.float16)
            # Processors differ in what they make of a half that is not a number.
            if np.array_equal(halves.astype(np.float32).view(np.uint32), values) and not np.isnan(halves).any():
                return HALF, halves.astype("<f2").tobytes()
        if not (values & 0xFFFF).any():
            return BRAIN, (values >> 16).astype("<u2").tobytes()
    return WHOLE, _little(values)


def read_element(reader: Reader) -> int:
    """The next element type."""
    element = reader.byte()
    if element not in ELEMENTS:
        raise reader.fail(f"there is no element type {element}")
    return element


def read_shape(reader: Reader) -> tuple[int, ...]:
    """The next shape, one that numpy can have even where an axis is empty."""
    shape = tuple(reader.varint(1 << 40) for _ in range(reader.varint(MOST_AXES)))
    if math.prod(size or 1 for size in shape) > 1 << 40:
        raise reader.fail(f"no tensor has the shape {shape}")
    return shape


def read_plain(reader: Reader, element: int, kind: np.dtype, count: int) -> np.ndarray:
    """The next `count` values of an unsigned type; `element` says what they are bits of."""
    data = np.frombuffer(reader.take(count * kind.itemsize), kind.newbyteorder("<")).astype(kind)
    if ELEMENTS[element][0] == "bool" and (data > 1).any():
        raise reader.fail("a truth value is neither 0 nor 1")
    return data


def unpack(headers: bytes, stream: memoryview, plain: memoryview, limit: int) -> list[Packed]:
    """The tensors and how each was kept; `limit` bounds the bytes that they take in memory."""
    reader, values = Reader(headers, "tensor list"), Reader(plain, "plain values")
    try:
        decoder = entropy.Decoder(stream)
    except ValueError as error:
        raise ShoeError(f"damaged file: the code stream cannot be read ({error})") from None
    found: list[Packed] = []
    previous = -1
    for _ in range(reader.varint(MOST_TENSORS)):
        start, value_start = reader.at, values.at
        step = reader.varint(1 << 32)
        previous += step
        element = read_element(reader)
        shape = read_shape(reader)
        count = math.prod(shape)
        limit -= count * max(ELEMENTS[element][1], 4)
        if limit < 0:
            raise reader.fail("the tensors are larger than allowed; if you trust this file, raise max_bytes")
        bits, packed = _unpack(reader, values, decoder, element, count)
        packed.tensor = Tensor(element, bits.reshape(shape), previous if step else None)
        packed.header_bytes, packed.raw_bytes = reader.at - start, values.at - value_start
        found.append(packed)
    reader.end()
    values.end()
    if not decoder.finished():
        raise ShoeError("damaged file: the code stream does not end where its symbols do")
    return found


def _unpack(reader: Reader, values: Reader, decoder: entropy.Decoder, element: int, count: int) -> tuple[np.ndarray, Packed]:
    kind, coding = unsigned(element), reader.byte()
    if coding == RAW:
        return read_plain(values, element, kind, count), Packed()
    if coding == SPARSE:
        nonzero, model_bits = _symbols(reader, decoder, np.array([False, True]), count)
        bits = np.zeros(count, kind)
        bits[nonzero] = read_plain(values, element, kind, int(np.count_nonzero(nonzero)))
        return bits, Packed(coding=SPARSE, model_bits=model_bits)
    if coding != LEVELS:
        raise reader.fail(f"there is no coding {coding}")
    number = reader.varint(min(entropy.MOST_SYMBOLS, count))
    if number == 0:
        raise reader.fail("a tensor has no levels")
    levels = _levels(reader, values, element, number)
    if number == 1:
        return np.full(count, levels[0], kind), Packed(coding=LEVELS, levels=1)
    bits, model_bits = _symbols(reader, decoder, levels, count)
    return bits, Packed(coding=LEVELS, model_bits=model_bits, levels=number)


def _levels(reader: Reader, values: Reader, element: int, number: int) -> np.ndarray:
    """The distinct values of a tensor, as bits."""
    name, form = ELEMENTS[element][0], reader.byte()
    if form == WHOLE:
        return read_plain(values, element, unsigned(element), number)
    if name != "float32" or form not in (HALF, BRAIN):
        raise reader.fail(f"levels of {name} have no form {form}")
    short = read_plain(values, element, np.dtype("u2"), number)
    if form == BRAIN:
        return short.astype(np.uint32) << 16
    if (short & 0x7FFF > 0x7C00).any():
        raise values.fail("a level of half precision is not a number")
    return short.view(np.float16).astype(np.float32).view(np.uint32)


def _symbols(reader: Reader, decoder: entropy.Decoder, meanings: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """What the next `count` symbols of the stream stand for, and the bits that their model gives them."""
    table = entropy.frequencies(np.frombuffer(reader.take(len(meanings)), np.uint8))
    model = entropy.model(table)
    out, counts = np.empty(count, meanings.dtype), np.zeros(len(meanings), np.int64)
    for start in range(0, count, _CHUNK):
        symbols = decoder.decode(model, min(_CHUNK, count - start))
        out[start : start + _CHUNK] = meanings[symbols]
        counts += np.bincount(symbols, minlength=len(meanings))
    return out, entropy.bits(table, counts)
