"""Writes tensors, each in the coding that is smallest for it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact.coding import entropy, work
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.format import blocks, indexed
from shoestring.artifact.format.grids import FURTHEST, grid_of
from shoestring.artifact.format.list_writer import description, steps_of
from shoestring.artifact.format.tensor_allowance import Allowance
from shoestring.artifact.format.tensor_list import read_list
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
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    Packed,
    Tensor,
    little_endian,
    numbered,
    rotated,
)
from shoestring.artifact.format.workers import in_order
from shoestring.artifact.wire import Writer

_MOST_LEVELS = 1024  # with more levels, coding them in context saves little
# The same for tensors of integers, which may have few values that are far apart. More values are
# mostly neighbours, which a grid codes as well.
_MOST_INTEGER_LEVELS = 64
BLOCKS_FROM = 1 << 16
"""Tensors of so many elements are written in blocks where bytes of equal weight are coded alone."""


@dataclass
class Tensors:
    """The three sections for tensors, and how each tensor was coded.

    `headers`: the tensor list.
    `stream`: the code stream.
    `plain`: the plain values.
    `packed`: how each tensor was coded.
    `described`: the part of the tensor list that each tensor has.
    `blocks`: the bytes of all blocks, in order, for a file of version 4.
    `table`: where these are, by the index of their tensor.
    """

    headers: Writer = field(default_factory=Writer)
    stream: bytes = b""
    plain: Writer = field(default_factory=Writer)
    packed: list[Packed] = field(default_factory=list)
    described: list[bytes] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)
    table: dict[int, indexed.Blocks] = field(default_factory=dict)


@dataclass(frozen=True)
class _Coded:
    """A tensor in one of the codings.

    `size`: its size in bytes, with the fraction of a byte in the stream.
    `coding`: RAW, LEVELS, ...
    `header`: the fields of the coding, for the tensor list.
    `plain`: its part of the plain values.
    `parts`: its parts of the code stream.
    `model_bits`: the length of these parts in bits, by the model of their symbols.
    `levels`: how many levels it has; 0 if it is not coded by levels.
    `work`: what decoding it asks for, in nanoseconds, beyond what the list tells.
    """

    size: float
    coding: int
    header: bytes = b""
    plain: bytes = b""
    parts: tuple[entropy.Part, ...] = ()
    model_bits: float = 0.0
    levels: int = 0
    work: int = 0


def encode(
    tensors: list[Tensor],
    *,
    smallest: bool = False,
    contexts: bool = True,
    blocks_from: int = BLOCKS_FROM,
    advance: Callable[[str], None] = lambda note: None,
) -> Tensors:
    """The sections of a file with these tensors, each in the coding that is smallest for it.

    `smallest`: allow codings that are slow to decode.
    `contexts`: whether to try coding in context, which takes a fiftieth of a second for a tensor.
    `blocks_from`: how many elements a tensor in blocks must have.
    `advance`: called with "" after each tensor.
    Raises ValueError for tensors that are not in the order of their `member`, and for more than
    MOST_AXES axes.
    """
    out, allowance = Tensors(), Allowance(tensors)
    out.headers.varint(len(tensors))
    parts: list[entropy.Part] = []
    for index, (tensor, step) in enumerate(zip(tensors, steps_of(tensors), strict=True)):
        best, asked = _best(tensor, smallest, allowance.next(), contexts)
        if best.coding in (RAW, PLANES) and tensor.bits.size >= blocks_from:
            out.table[index] = made = _in_blocks(tensor, out.blocks)
            best = _Coded(sum(block.length for block in made.parts), BLOCKS)
            asked = work.blocks(tensor.bits.size, made.bits, tensor.bits.itemsize)
        allowance.spend(asked)
        header = description(tensor, step, best.coding) + best.header
        parts += best.parts
        out.headers += header
        out.described.append(header)
        out.plain += best.plain
        raw = len(best.plain) if best.coding != BLOCKS else int(best.size)
        out.packed.append(
            Packed(tensor, best.coding, best.model_bits, raw, len(header), best.levels)
        )
        advance("")
    out.stream = entropy.encode(parts)
    return out


def _in_blocks(tensor: Tensor, region: list[bytes]) -> indexed.Blocks:
    """The tensor in blocks, which are added to those of the file."""
    flat = tensor.bits.reshape(-1)
    bits = blocks.bits_for(flat.itemsize)
    fast, workers = indexed.pace(flat.size)
    pieces = (flat[start : start + (1 << bits)] for start in range(0, flat.size, 1 << bits))
    begin = sum(map(len, region))
    made: list[indexed.Block] = []
    for data in in_order(lambda piece: blocks.encode(piece, tensor.element, fast), pieces, workers):
        made.append(indexed.Block(begin, len(data), zlib.crc32(data)))
        region.append(data)
        begin += len(data)
    return indexed.Blocks(tensor.element, tensor.bits.shape, bits, tuple(made))


def _best(tensor: Tensor, smallest: bool, limit: int, contexts: bool) -> tuple[_Coded, int]:
    """(a tensor in the coding that takes the fewest bytes of those that are allowed, its work).

    `limit`: the work that is allowed, in nanoseconds.
    `contexts`: whether to try coding in context.
    """
    best = min(_codings(tensor, smallest, contexts=contexts), key=_order)
    if (asked := _asked(tensor, best)) > limit:
        others = [*_codings(tensor, smallest), *_codings(tensor, False, one_by_one=False)]
        allowed = [coded for coded in others if _asked(tensor, coded) <= limit]
        least = min(others, key=lambda coded: _asked(tensor, coded))
        best = min(allowed or [least], key=_order)
        asked = _asked(tensor, best)
    return best, asked


def _order(coded: _Coded) -> tuple[float, int]:
    return coded.size, coded.coding


def _asked(tensor: Tensor, coded: _Coded) -> int:
    """The work of decoding a tensor that is coded so, in nanoseconds."""
    listed = b"\1" + description(tensor, 1, coded.coding) + coded.header
    (one,) = read_list(listed, 2, 1 << 62)
    return one.work() + coded.work


def _codings(
    tensor: Tensor, smallest: bool, one_by_one: bool | None = None, contexts: bool = True
) -> Iterator[_Coded]:
    """The tensor in each coding that may be the smallest.

    `one_by_one`: as `choose` takes it. `contexts`: whether to try coding in context.
    """
    flat = tensor.bits.reshape(-1)
    if not flat.any():
        yield _Coded(0, ZEROS)
        return
    yield _Coded(flat.nbytes, RAW, plain=little_endian(flat))
    yield from _sparse(flat)
    name, grid, most = ELEMENTS[tensor.element][0], None, _MOST_LEVELS
    fits = contexts and tensor.bits.ndim > 0 and context_coding.fits(tensor.bits.shape)
    if name == "float32" and fits and (grid := grid_of(tensor.bits)) is not None:
        levels, scales = grid
        form, plain = _narrowest(tensor.element, scales.view(np.uint32))
        coding = GRID if len(scales) == 1 else GRIDS
        yield from _in_context(levels, coding, form, plain, b"", smallest, one_by_one)
    if (
        name in INTEGERS
        and fits
        and np.abs(integers := tensor.array().astype(np.int64)).max() < FURTHEST
    ):
        most = _MOST_INTEGER_LEVELS
        yield from _in_context(integers, GRID, INTEGER_FORM, b"", b"", smallest, one_by_one)
    if not _few(flat):
        yield _planes(tensor.element, flat)
        return
    values, symbols, counts = _distinct(flat)
    if len(values) > entropy.MOST_SYMBOLS:
        yield _planes(tensor.element, flat)
        return
    yield _levels(tensor.element, values, symbols, counts)
    if grid is None and fits and 1 < len(values) <= min(most, flat.size // 4):
        yield from _levels_in_context(tensor, values, symbols, smallest, one_by_one)
    if len(values) > 256:
        yield _planes(tensor.element, flat)


def _sparse(flat: np.ndarray) -> Iterator[_Coded]:
    nonzero = flat != 0
    count = int(nonzero.sum())
    if not 0 < count < flat.size:
        return
    codes, table, model_bits = _table(np.array([flat.size - count, count]))
    size = model_bits / 8 + 2 + count * flat.itemsize
    yield _Coded(size, SPARSE, codes, little_endian(flat[nonzero]), ((nonzero, table),), model_bits)


def _levels(element: int, values: np.ndarray, symbols: np.ndarray, counts: np.ndarray) -> _Coded:
    form, plain = _narrowest(element, values)
    header = Writer()
    header.varint(len(values))
    header.append(form)
    if len(values) == 1:
        return _Coded(len(plain) + len(header), LEVELS, bytes(header), plain, levels=1)
    codes, table, model_bits = _table(counts)
    header += codes
    return _Coded(
        len(plain) + len(header) + model_bits / 8,
        LEVELS,
        bytes(header),
        plain,
        ((symbols, table),),
        model_bits,
        len(values),
    )


def _levels_in_context(
    tensor: Tensor,
    values: np.ndarray,
    symbols: np.ndarray,
    smallest: bool,
    one_by_one: bool | None,
) -> Iterator[_Coded]:
    numbers = numbered(tensor.element, values)
    if numbers.dtype.kind == "f" and np.isnan(numbers).any():
        return
    # The level nearest to zero is called 0, because common levels are mostly small and rare levels
    # large.
    order = np.argsort(numbers, kind="stable")
    zero = int(np.argmin(np.abs(numbers[order].astype(np.float64))))
    integers = np.empty(len(order), np.int64)
    integers[order] = np.arange(len(order)) - zero
    form, plain = _narrowest(tensor.element, values[order])
    fields = Writer()
    fields.varint(len(values))
    fields.varint(zero)
    levels = integers[symbols].reshape(tensor.bits.shape)
    yield from _in_context(
        levels, CONTEXT, form, plain, bytes(fields), smallest, one_by_one, len(values)
    )


def _in_context(
    levels: np.ndarray,
    coding: int,
    form: int,
    plain: bytes,
    fields: bytes,
    smallest: bool,
    one_by_one: bool | None,
    count: int = 0,
) -> Iterator[_Coded]:
    """Integers coded in context, in tiles or one by one, or in both ways where `smallest`.

    `form`, `plain`: the levels or scales and the form in which they are stored.
    `fields`: the fields after the model. `count`: how many levels there are.
    """
    both = smallest and levels.size > context_coding.FEW  # one by one is not always smaller
    for slow in (False, True) if both else (smallest,):
        account = work.Work(1 << 62)
        choice, notes = context_coding.choose(levels, slow, account, one_by_one)
        header = Writer()
        context_coding.write(header, choice, form)
        header += fields
        model_bits = entropy.note_bits(notes)
        yield _Coded(
            model_bits / 8 + len(header) + len(plain),
            coding,
            bytes(header),
            plain,
            ((notes, None),),
            model_bits,
            count,
            account.asked,
        )


def _planes(element: int, flat: np.ndarray) -> _Coded:
    """Bytes of equal weight together, with the sign of a float below its fraction.

    The bytes of exponents are then in planes of their own. Exponents repeat, fractions do not.
    """
    bits = rotated(element, flat, 1)
    header, plain, parts, total = Writer([0]), bytearray(), [], 0.0
    for index in reversed(range(flat.itemsize)):
        plane = (bits >> bits.dtype.type(8 * index)).astype(np.uint8)
        counts = np.bincount(plane, minlength=256)
        lowest, highest = np.flatnonzero(counts)[[0, -1]].tolist()
        used = counts[lowest : highest + 1]
        if len(used) == 1:
            header[0] |= 1 << index
            header += bytes([lowest, 0])
            continue
        codes, table, model_bits = _table(used)
        # A plane that coding shrinks by less than 1% is not worth the time of decoding.
        if model_bits / 8 + len(codes) + 2 < 0.99 * len(plane):
            header[0] |= 1 << index
            header += bytes([lowest, len(used) - 1]) + codes
            parts.append((plane - np.uint8(lowest), table))
            total += model_bits
        else:
            plain += plane.tobytes()
    return _Coded(
        len(header) + len(plain) + total / 8,
        PLANES,
        bytes(header),
        bytes(plain),
        tuple(parts),
        total,
    )


def _table(counts: np.ndarray) -> tuple[bytes, np.ndarray, float]:
    """(code bytes, frequencies, length in bits) of symbols that occur so many times."""
    codes = entropy.shrink(counts)
    table = entropy.frequencies(codes)
    return codes.tobytes(), table, entropy.bits(table, counts)


def _distinct(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values in rising order, the index of each element's value, how often each occurs)."""
    if flat.itemsize > 2:
        return np.unique(flat, return_inverse=True, return_counts=True)
    counts = np.bincount(flat, minlength=1 << 8 * flat.itemsize)
    values = np.flatnonzero(counts)
    indices = np.zeros(len(counts), np.int64)
    indices[values] = np.arange(len(values))
    return values.astype(flat.dtype), indices[flat], counts[values]


def _few(flat: np.ndarray) -> bool:
    """Whether the distinct values may be few enough to be worth sorting the tensor.

    A large tensor is judged on a sample.
    """
    if flat.size <= 1 << 16:
        return True
    sample = flat[:: max(1, flat.size >> 14)]
    return len(np.unique(sample)) < len(sample) * 0.9


def _narrowest(element: int, values: np.ndarray) -> tuple[int, bytes]:
    """(form, bytes) of levels or scales in the shortest form that keeps every bit of them."""
    if ELEMENTS[element][0] == "float32":
        with np.errstate(over="ignore", invalid="ignore"):
            halves = values.view(np.float32).astype(np.float16)
            # Processors differ in how they convert a NaN of float16.
            if (
                np.array_equal(halves.astype(np.float32).view(np.uint32), values)
                and not np.isnan(halves).any()
            ):
                return HALF, halves.astype("<f2").tobytes()
        if not (values & 0xFFFF).any():
            return BFLOAT16, (values >> 16).astype("<u2").tobytes()
    return INTEGER_FORM, little_endian(values)
