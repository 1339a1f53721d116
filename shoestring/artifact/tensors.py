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
        header, plain = Writer(), Writer()
        member = 0 if one.member is None else one.member - previous
        if member < 0 or (one.member is not None and member == 0):
            raise ValueError("members must come in the order of the module")
        previous = previous if one.member is None else one.member
        header.varint(member)
        header.append(one.element)
        header.varint(one.bits.ndim)
        for size in one.bits.shape:
            header.varint(size)
        packed, part = _pack(one, header, plain)
        packed.header_bytes, packed.raw_bytes = len(header), len(plain)
        parts += part
        out.packed.append(packed)
        out.headers += header
        out.plain += plain
    out.stream = entropy.encode(parts)
    return out


def _pack(one: Tensor, header: Writer, plain: Writer) -> tuple[Packed, list[tuple[np.ndarray, np.ndarray]]]:
    """Writes the coding's part of the header and the plain bytes; returns the symbols for the stream."""
    flat, width = one.bits.reshape(-1), ELEMENTS[one.element][1]
    best = (flat.size * width, RAW)
    values, symbols, counts = (np.empty(0),) * 3
    nonzero = flat != 0
    if flat.size:
        ones = int(nonzero.sum())
        if 0 < ones < flat.size:
            mask_codes = entropy.shrink(np.array([flat.size - ones, ones]))
            mask_table = entropy.frequencies(mask_codes)
            mask_bits = entropy.bits(mask_table, np.array([flat.size - ones, ones]))
            best = min(best, (mask_bits / 8 + 2 + ones * width, SPARSE))
        if _few(flat):
            values, symbols, counts = np.unique(flat, return_inverse=True, return_counts=True)
            if len(values) <= min(entropy.MOST_SYMBOLS, flat.size):
                form, kept = _narrowest(one.element, values)
                size = len(kept) + 3
                if len(values) > 1:
                    codes = entropy.shrink(counts)
                    table = entropy.frequencies(codes)
                    level_bits = entropy.bits(table, counts)
                    size += level_bits / 8 + len(codes)
                best = min(best, (size, LEVELS))
    header.append(best[1])
    if best[1] == RAW:
        plain += flat.astype(flat.dtype.newbyteorder("<")).tobytes()
        return Packed(one, RAW), []
    if best[1] == SPARSE:
        header += mask_codes.tobytes()
        plain += flat[nonzero].astype(flat.dtype.newbyteorder("<")).tobytes()
        return Packed(one, SPARSE, mask_bits), [(nonzero, mask_table)]
    header.varint(len(values))
    header.append(form)
    plain += kept
    if len(values) == 1:
        return Packed(one, LEVELS, levels=1), []
    header += codes.tobytes()
    return Packed(one, LEVELS, level_bits, levels=len(values)), [(symbols, table)]


def _few(flat: np.ndarray) -> bool:
    """Whether there can be few enough distinct values to be worth sorting for, judged on a sample of a large tensor."""
    if flat.size <= 1 << 16:
        return True
    sample = flat[:: max(1, flat.size >> 14)]
    return len(np.unique(sample)) < len(sample) * 0.9


def _narrowest(element: int, values: np.ndarray) -> tuple[int, bytes]:
    """Levels in the fewest bytes that keep every bit of them."""
    little = values.astype(values.dtype.newbyteorder("<"))
    if ELEMENTS[element][0] == "float32":
        with np.errstate(over="ignore", invalid="ignore"):
            halves = values.view(np.float32).astype(np.float16)
            if np.array_equal(halves.astype(np.float32).view(np.uint32), values):
                return HALF, halves.astype("<f2").tobytes()
        if not (values & 0xFFFF).any():
            return BRAIN, (values >> 16).astype("<u2").tobytes()
    return WHOLE, little.tobytes()


def unpack(headers: bytes, stream: memoryview, plain: memoryview, limit: int) -> list[Packed]:
    """The tensors and how each was kept; `limit` bounds the bytes that they and their symbols take in memory."""
    reader, values = Reader(headers, "tensor list"), Reader(plain, "plain values")
    try:
        decoder = entropy.Decoder(stream)
    except ValueError as error:
        raise ShoeError(f"damaged file: the code stream cannot be read ({error})") from None
    found: list[Packed] = []
    previous = -1
    for _ in range(reader.count()):
        start, value_start = reader.at, values.at
        step = reader.varint(1 << 32)
        previous += step
        element = reader.byte()
        if element not in ELEMENTS:
            raise reader.fail(f"there is no element type {element}")
        width = ELEMENTS[element][1]
        shape = tuple(reader.varint(1 << 40) for _ in range(reader.varint(MOST_AXES)))
        if math.prod(size or 1 for size in shape) > 1 << 40:
            raise reader.fail(f"no tensor has the shape {shape}")
        count = math.prod(shape)
        limit -= count * max(width, 4)
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
    packed = Packed()
    dtype, _width, coding = unsigned(element), ELEMENTS[element][1], reader.byte()

    def plain(number: int, kind: np.dtype) -> np.ndarray:
        data = np.frombuffer(values.take(number * kind.itemsize), kind.newbyteorder("<")).astype(kind)
        if ELEMENTS[element][0] == "bool" and (data > 1).any():
            raise values.fail("a truth value is neither 0 nor 1")
        return data

    def symbols(number: int) -> np.ndarray:
        table = entropy.frequencies(np.frombuffer(reader.take(number), np.uint8))
        decoded = decoder.decode(table, count)
        packed.model_bits = entropy.bits(table, np.bincount(decoded, minlength=number))
        return decoded

    packed.coding = coding
    if coding == RAW:
        return plain(count, dtype), packed
    if coding == SPARSE:
        mask = symbols(2).astype(bool)
        bits = np.zeros(count, dtype)
        bits[mask] = plain(int(mask.sum()), dtype)
        return bits, packed
    if coding != LEVELS:
        raise reader.fail(f"there is no coding {coding}")
    number = reader.varint(min(entropy.MOST_SYMBOLS, count))
    form = reader.byte()
    if number == 0:
        raise reader.fail("a tensor has no levels")
    if form == WHOLE:
        levels = plain(number, dtype)
    elif ELEMENTS[element][0] != "float32" or form not in (HALF, BRAIN):
        raise reader.fail(f"levels of {ELEMENTS[element][0]} have no form {form}")
    elif form == HALF:
        levels = plain(number, np.dtype("u2")).view(np.float16).astype(np.float32).view(np.uint32)
    else:
        levels = plain(number, np.dtype("u2")).astype(np.uint32) << 16
    packed.levels = number
    return (np.full(count, levels[0], dtype) if number == 1 else levels[symbols(number)]), packed
