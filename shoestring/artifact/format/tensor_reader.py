"""Reads the tensors of a file, which may be hostile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.coding import entropy
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.format import indexed
from shoestring.artifact.format.tensors import (
    BFLOAT16,
    BLOCKS,
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
    rotated,
    unsigned,
)
from shoestring.artifact.wire import Reader, ShoeError

_NO_BLOCKS = indexed.Table({}, memoryview(b""))
CHUNK = 1 << 20  # symbols decoded at once, so that a large tensor is not in memory twice


@dataclass
class _Sources:
    """The sections that the tensors are read from, and how much memory is left.

    `reader`: the tensor list.
    `values`: the plain values.
    `decoder`: the code stream.
    `limit`: how many bytes the tensors may still take in memory.
    `table`: the blocks.
    `read`: reads the bits of a tensor in blocks, in one axis.
    """

    reader: Reader
    values: Reader
    decoder: entropy.Decoder
    limit: int
    table: indexed.Table
    read: Callable[[indexed.Blocks], np.ndarray]

    def claim(self, size: int) -> None:
        """Subtract `size` bytes from the limit; raises ShoeError where they are over it."""
        self.afford(size)
        self.limit -= size

    def afford(self, size: int) -> None:
        """Raises ShoeError where `size` bytes, which are freed again, are over the limit."""
        if size > self.limit:
            raise ShoeError(
                "the tensors of this file are larger than allowed; if you trust it, raise max_bytes"
            )


def unpack(
    headers: bytes,
    stream: memoryview,
    plain: memoryview,
    limit: int,
    version: int = 2,
    table: indexed.Table = _NO_BLOCKS,
    read: Callable[[indexed.Blocks], np.ndarray] | None = None,
) -> list[Packed]:
    """The tensors, with how each was coded.

    `headers`: the tensor list, inflated.
    `stream`, `plain`: the code stream and the plain values.
    `limit`: how many bytes the tensors may take in memory.
    `version`: the version of the file.
    `table`: the blocks of a file of version 4.
    `read`: what reads the bits of a tensor in blocks, in one axis; None: decode them at once.
    Raises ShoeError for invalid bytes and for tensors over the limit.
    """
    try:
        decoder = entropy.Decoder(stream)
    except ValueError as error:
        raise ShoeError(f"damaged file: the code stream cannot be read ({error})") from None
    sources = _Sources(
        Reader(headers, "tensor list"),
        Reader(plain, "plain values"),
        decoder,
        limit,
        table,
        read or (lambda tensor: tensor.read(table.region)),
    )
    reader, values = sources.reader, sources.values
    unpacked: list[Packed] = []
    previous = -1
    for _ in range(reader.varint(MOST_TENSORS)):
        start, value_start = reader.at, values.at
        describe = _description_1 if version == 1 else _description
        step, element, shape, coding = describe(reader)
        if (index := len(unpacked)) in table.tensors:
            if coding != RAW:
                raise reader.fail("a tensor in blocks has a coding too")
            coding = BLOCKS
        previous += step
        sources.claim(math.prod(shape) * max(ELEMENTS[element][1], 4))
        if coding == BLOCKS:
            bits, packed = _of_blocks(sources, table.blocks(index, element, shape))
        else:
            bits, packed = _unpack(sources, element, shape, coding)
        packed.tensor = Tensor(element, bits.reshape(shape), previous if step else None)
        packed.coding = coding
        packed.header_bytes = reader.at - start
        packed.raw_bytes += values.at - value_start
        unpacked.append(packed)
    reader.end()
    values.end()
    if table.tensors and max(table.tensors) >= len(unpacked):
        raise ShoeError("damaged file: there are blocks of a tensor that does not exist")
    if not decoder.finished():
        raise ShoeError("damaged file: the code stream does not end where its symbols do")
    return unpacked


def _description_1(reader: Reader) -> tuple[int, int, tuple[int, ...], int]:
    """(step, element, shape, coding) of the next tensor in a file of version 1."""
    step = reader.varint(1 << 32)
    element = read_element(reader)
    shape = read_shape(reader)
    coding = reader.byte()
    if coding > SPARSE:
        raise reader.fail(f"there is no coding {coding}")
    return step, element, shape, coding


def _description(reader: Reader) -> tuple[int, int, tuple[int, ...], int]:
    """(step, element, shape, coding) of the next tensor."""
    first = reader.byte()
    step = reader.varint(1 << 32) if first >> 7 else 1
    element = read_element(reader) if first >> 6 & 1 else 1
    axes = first >> 3 & 7
    return step, element, read_axes(reader, reader.varint(32) if axes == 7 else axes), first & 7


def _unpack(
    sources: _Sources, element: int, shape: tuple[int, ...], coding: int
) -> tuple[np.ndarray, Packed]:
    """(the bits of a tensor, flat or in rows and columns; how it was coded)."""
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


def _of_blocks(sources: _Sources, tensor: indexed.Blocks) -> tuple[np.ndarray, Packed]:
    """The bits of a tensor whose blocks are outside the sections."""
    taken = sum(block.length for block in tensor.parts)
    return sources.read(tensor), Packed(raw_bytes=taken)


def _of_levels(sources: _Sources, element: int, count: int) -> tuple[np.ndarray, Packed]:
    reader = sources.reader
    level_count = reader.varint(min(entropy.MOST_SYMBOLS, count))
    if level_count == 0:
        raise reader.fail("a tensor has no levels")
    levels = _values(sources, element, reader.byte(), level_count)
    if level_count == 1:
        return np.full(count, levels[0], unsigned(element)), Packed(levels=1)
    bits, model_bits = _symbols(sources, levels, count)
    return bits, Packed(model_bits=model_bits, levels=level_count)


def _of_planes(
    sources: _Sources, element: int, kind: np.dtype, count: int
) -> tuple[np.ndarray, Packed]:
    """The bits of a tensor whose bytes of equal weight are together, coded or plain."""
    reader, coded = sources.reader, sources.reader.byte()
    if coded >> kind.itemsize:
        raise reader.fail(f"there is no byte {kind.itemsize} in an element")
    bits, model_bits = np.zeros(count, kind), 0.0
    for index in reversed(range(kind.itemsize)):
        if coded >> index & 1:
            lowest, value_count = reader.byte(), reader.byte() + 1
            if lowest + value_count > 256:
                raise reader.fail("a byte is over 255")
            meanings = np.arange(lowest, lowest + value_count).astype(np.uint8)
            plane, plane_bits = (
                _symbols(sources, meanings, count)
                if value_count > 1
                else (np.broadcast_to(meanings, count), 0.0)
            )
            model_bits += plane_bits
        else:
            plane = np.frombuffer(sources.values.take(count), np.uint8)
        shift = kind.type(8 * index)
        for start in range(0, count, CHUNK):
            bits[start : start + CHUNK] |= plane[start : start + CHUNK].astype(kind) << shift
    for start in range(0, count, CHUNK):
        bits[start : start + CHUNK] = rotated(element, bits[start : start + CHUNK], -1)
    if ELEMENTS[element][0] == "bool" and (bits > 1).any():
        raise reader.fail("a bool is neither 0 nor 1")
    return bits, Packed(model_bits=model_bits)


def _of_contexts(
    sources: _Sources, element: int, shape: tuple[int, ...], coding: int
) -> tuple[np.ndarray, Packed]:
    """The bits of a tensor coded in context, as integers that stand for a level or a multiple of a
    scale.
    """
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
    count, zero = 1, 0
    if coding == GRID and ELEMENTS[element][0] in INTEGERS:
        return _integers(sources, element, choice, form, rows, columns)
    if coding == CONTEXT:
        count, zero = reader.varint(entropy.MOST_SYMBOLS), reader.varint(entropy.MOST_SYMBOLS)
    elif ELEMENTS[element][0] != "float32":
        raise reader.fail(f"there is no grid of {ELEMENTS[element][0]}")
    if coding == GRIDS:
        count = rows
    meanings = _values(sources, element, form, count)
    # Processors differ in what they make of 0 times infinity.
    if coding in (GRID, GRIDS) and not np.isfinite(meanings.view(np.float32)).all():
        raise sources.values.fail("a scale is not finite")
    integers, model_bits = context_coding.decode(choice, rows, columns, sources.decoder)
    packed = Packed(model_bits=model_bits, levels=count if coding == CONTEXT else 0)
    if coding in (GRID, GRIDS):
        packed.scales = scales = meanings.view(np.float32)
        return multiples(integers, scales[:, None]), packed
    indices = integers.astype(np.int32) + zero
    if count == 0 or int(indices.min()) < 0 or int(indices.max()) >= count:
        raise reader.fail("there is no such level")
    return meanings[indices], packed


def _integers(
    sources: _Sources,
    element: int,
    choice: context_coding.Choice,
    form: int,
    rows: int,
    columns: int,
) -> tuple[np.ndarray, Packed]:
    """The bits of a tensor coded in context, as integers that are the elements themselves."""
    kind = np.dtype(ELEMENTS[element][0])
    if form != INTEGER_FORM:
        raise sources.reader.fail(f"a grid of {kind.name} has no form {form}")
    integers, model_bits = context_coding.decode(choice, rows, columns, sources.decoder)
    limits = np.iinfo(kind)
    if int(integers.min()) < limits.min or int(integers.max()) > limits.max:
        raise sources.reader.fail(f"a number is outside the range of {kind.name}")
    return integers.astype(kind).view(unsigned(element)), Packed(model_bits=model_bits)


def _values(sources: _Sources, element: int, form: int, count: int) -> np.ndarray:
    """The levels or scales of a tensor, as bits, from the form in which they are stored."""
    name, values = ELEMENTS[element][0], sources.values
    if form == INTEGER_FORM:
        return read_plain(values, element, unsigned(element), count)
    if name != "float32" or form not in (HALF, BFLOAT16):
        raise sources.reader.fail(f"levels of {name} have no form {form}")
    short = read_plain(values, element, np.dtype("u2"), count)
    if form == BFLOAT16:
        return short.astype(np.uint32) << 16
    if (short & 0x7FFF > 0x7C00).any():
        raise values.fail("a level of half precision is not a number")
    return short.view(np.float16).astype(np.float32).view(np.uint32)


def _symbols(sources: _Sources, meanings: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """(what the next `count` symbols of the stream mean, their length in bits by their model).

    `meanings`: what each symbol means.
    """
    table = entropy.frequencies(np.frombuffer(sources.reader.take(len(meanings)), np.uint8))
    model = entropy.model(table)
    out, counts = np.empty(count, meanings.dtype), np.zeros(len(meanings), np.int64)
    for start in range(0, count, CHUNK):
        symbols = sources.decoder.decode(model, min(CHUNK, count - start))
        out[start : start + CHUNK] = meanings[symbols]
        counts += np.bincount(symbols, minlength=len(meanings))
    return out, entropy.bits(table, counts)
