"""Reading the tensors of a file, which may be anybody's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.coding import entropy
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.format.tensors import (
    BFLOAT16,
    CONTEXT,
    ELEMENTS,
    GRID,
    GRIDS,
    HALF,
    INTEGER_FORM,
    INTEGERS,
    LEVELS,
    MOST_TENSORS,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    Packed,
    Tensor,
    multiples,
    read_axes,
    read_element,
    read_plain,
    read_shape,
    turned,
    unsigned,
)
from shoestring.artifact.wire import Reader, ShoeError

CHUNK = 1 << 20  # symbols decoded at a time, so that a large tensor is not in memory twice


@dataclass
class _Sources:
    """What the tensors are read from: their descriptions, their plain values, the stream.

    And the bytes that they may still take.
    """

    reader: Reader
    values: Reader
    decoder: entropy.Decoder
    limit: int

    def claim(self, size: int) -> None:
        """Take so many bytes of what is allowed."""
        self.afford(size)
        self.limit -= size

    def afford(self, size: int) -> None:
        """See that so many bytes are allowed, for a while."""
        if size > self.limit:
            raise ShoeError(
                "the tensors of this file are larger than allowed; if you trust it, raise max_bytes"
            )


def unpack(
    headers: bytes, stream: memoryview, plain: memoryview, limit: int, version: int = 2
) -> list[Packed]:
    """The tensors and how each was kept; `limit` bounds the bytes that they take in memory."""
    try:
        decoder = entropy.Decoder(stream)
    except ValueError as error:
        raise ShoeError(f"damaged file: the code stream cannot be read ({error})") from None
    sources = _Sources(
        Reader(headers, "tensor list"), Reader(plain, "plain values"), decoder, limit
    )
    reader, values = sources.reader, sources.values
    found: list[Packed] = []
    previous = -1
    for _ in range(reader.varint(MOST_TENSORS)):
        start, value_start = reader.at, values.at
        step, element, shape, coding = (
            _description_1(reader) if version == 1 else _description(reader)
        )
        previous += step
        sources.claim(math.prod(shape) * max(ELEMENTS[element][1], 4))
        bits, packed = _unpack(sources, element, shape, coding)
        packed.coding, packed.tensor = (
            coding,
            Tensor(element, bits.reshape(shape), previous if step else None),
        )
        packed.header_bytes, packed.raw_bytes = reader.at - start, values.at - value_start
        found.append(packed)
    reader.end()
    values.end()
    if not decoder.finished():
        raise ShoeError("damaged file: the code stream does not end where its symbols do")
    return found


def _description_1(reader: Reader) -> tuple[int, int, tuple[int, ...], int]:
    step = reader.varint(1 << 32)
    element = read_element(reader)
    shape = read_shape(reader)
    coding = reader.byte()
    if coding > SPARSE:
        raise reader.fail(f"there is no coding {coding}")
    return step, element, shape, coding


def _description(reader: Reader) -> tuple[int, int, tuple[int, ...], int]:
    first = reader.byte()
    step = reader.varint(1 << 32) if first >> 7 else 1
    element = read_element(reader) if first >> 6 & 1 else 1
    axes = first >> 3 & 7
    return step, element, read_axes(reader, reader.varint(32) if axes == 7 else axes), first & 7


def _unpack(
    sources: _Sources, element: int, shape: tuple[int, ...], coding: int
) -> tuple[np.ndarray, Packed]:
    kind, count = unsigned(element), math.prod(shape)
    if coding == RAW:
        return read_plain(sources.values, element, kind, count), Packed()
    if coding == ZEROS:
        return np.zeros(count, kind), Packed()
    if coding == SPARSE:
        nonzero, model_bits = _symbols(sources, np.array([False, True]), count)
        bits = np.zeros(count, kind)
        bits[nonzero] = read_plain(sources.values, element, kind, int(np.count_nonzero(nonzero)))
        return bits, Packed(model_bits=model_bits)
    if coding == LEVELS:
        return _of_levels(sources, element, count)
    if coding == PLANES:
        return _of_planes(sources, element, kind, count)
    return _of_contexts(sources, element, shape, coding)


def _of_levels(sources: _Sources, element: int, count: int) -> tuple[np.ndarray, Packed]:
    reader = sources.reader
    number = reader.varint(min(entropy.MOST_SYMBOLS, count))
    if number == 0:
        raise reader.fail("a tensor has no levels")
    levels = _values(sources, element, reader.byte(), number)
    if number == 1:
        return np.full(count, levels[0], unsigned(element)), Packed(levels=1)
    bits, model_bits = _symbols(sources, levels, count)
    return bits, Packed(model_bits=model_bits, levels=number)


def _of_planes(
    sources: _Sources, element: int, kind: np.dtype, count: int
) -> tuple[np.ndarray, Packed]:
    """Bytes of equal weight together: those in the stream, those that are plain."""
    reader, coded = sources.reader, sources.reader.byte()
    if coded >> kind.itemsize:
        raise reader.fail(f"there is no byte {kind.itemsize} in an element")
    bits, model_bits = np.zeros(count, kind), 0.0
    for place in reversed(range(kind.itemsize)):
        if coded >> place & 1:
            lowest, number = reader.byte(), reader.byte() + 1
            if lowest + number > 256:
                raise reader.fail("a byte is over 255")
            meanings = np.arange(lowest, lowest + number).astype(np.uint8)
            part, taken = (
                _symbols(sources, meanings, count)
                if number > 1
                else (np.broadcast_to(meanings, count), 0.0)
            )
            model_bits += taken
        else:
            part = np.frombuffer(sources.values.take(count), np.uint8)
        for start in range(0, count, CHUNK):
            bits[start : start + CHUNK] |= part[start : start + CHUNK].astype(kind) << kind.type(
                8 * place
            )
    for start in range(0, count, CHUNK):
        bits[start : start + CHUNK] = turned(element, bits[start : start + CHUNK], -1)
    if ELEMENTS[element][0] == "bool" and (bits > 1).any():
        raise reader.fail("a truth value is neither 0 nor 1")
    return bits, Packed(model_bits=model_bits)


def _of_contexts(
    sources: _Sources, element: int, shape: tuple[int, ...], coding: int
) -> tuple[np.ndarray, Packed]:
    """Whole numbers that say which level, or which multiple of a step."""
    reader = sources.reader
    if not shape or not math.prod(shape):
        raise reader.fail("a tensor without elements or axes has a context")
    rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (1, math.prod(shape))
    choice, form = context_coding.read(reader, columns)
    if not choice.tiles and rows * columns > context_coding.MOST_ONE_BY_ONE:
        raise reader.fail(f"more than {context_coding.MOST_ONE_BY_ONE} numbers come one by one")
    if choice.tiles and (rows if choice.across else columns) > context_coding.MOST_COLUMNS:
        raise reader.fail(f"a row has more than {context_coding.MOST_COLUMNS} numbers")
    sources.afford(context_coding.room(choice, rows, columns))
    number, zero = 1, 0
    if coding == GRID and ELEMENTS[element][0] in INTEGERS:
        return _integers(sources, element, choice, form, rows, columns)
    if coding == CONTEXT:
        number, zero = reader.varint(entropy.MOST_SYMBOLS), reader.varint(entropy.MOST_SYMBOLS)
    elif ELEMENTS[element][0] != "float32":
        raise reader.fail(f"there is no grid of {ELEMENTS[element][0]}")
    if coding == GRIDS:
        number = rows
    meanings = _values(sources, element, form, number)
    if (
        coding in (GRID, GRIDS) and not np.isfinite(meanings.view(np.float32)).all()
    ):  # processors differ in 0 times infinity
        raise sources.values.fail("a step is not finite")
    found, taken = context_coding.decode(choice, rows, columns, sources.decoder)
    packed = Packed(model_bits=taken, levels=number if coding == CONTEXT else 0)
    if coding in (GRID, GRIDS):
        packed.scales = scales = meanings.view(np.float32)
        return multiples(found, scales[:, None]), packed
    places = found.astype(np.int32) + zero
    if number == 0 or int(places.min()) < 0 or int(places.max()) >= number:
        raise reader.fail("there is no such level")
    return meanings[places], packed


def _integers(
    sources: _Sources,
    element: int,
    choice: context_coding.Choice,
    form: int,
    rows: int,
    columns: int,
) -> tuple[np.ndarray, Packed]:
    """Whole numbers that are the elements themselves."""
    kind = np.dtype(ELEMENTS[element][0])
    if form != INTEGER_FORM:
        raise sources.reader.fail(f"a grid of {kind.name} has no form {form}")
    found, taken = context_coding.decode(choice, rows, columns, sources.decoder)
    limits = np.iinfo(kind)
    if int(found.min()) < limits.min or int(found.max()) > limits.max:
        raise sources.reader.fail(f"a number is none of {kind.name}")
    return found.astype(kind).view(unsigned(element)), Packed(model_bits=taken)


def _values(sources: _Sources, element: int, form: int, number: int) -> np.ndarray:
    """The levels or steps of a tensor, as bits."""
    name, values = ELEMENTS[element][0], sources.values
    if form == INTEGER_FORM:
        return read_plain(values, element, unsigned(element), number)
    if name != "float32" or form not in (HALF, BFLOAT16):
        raise sources.reader.fail(f"levels of {name} have no form {form}")
    short = read_plain(values, element, np.dtype("u2"), number)
    if form == BFLOAT16:
        return short.astype(np.uint32) << 16
    if (short & 0x7FFF > 0x7C00).any():
        raise values.fail("a level of half precision is not a number")
    return short.view(np.float16).astype(np.float32).view(np.uint32)


def _symbols(sources: _Sources, meanings: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """What the next `count` symbols of the stream stand for, and the bits that their model gives
    them.
    """
    table = entropy.frequencies(np.frombuffer(sources.reader.take(len(meanings)), np.uint8))
    model = entropy.model(table)
    out, counts = np.empty(count, meanings.dtype), np.zeros(len(meanings), np.int64)
    for start in range(0, count, CHUNK):
        symbols = sources.decoder.decode(model, min(CHUNK, count - start))
        out[start : start + CHUNK] = meanings[symbols]
        counts += np.bincount(symbols, minlength=len(meanings))
    return out, entropy.bits(table, counts)
