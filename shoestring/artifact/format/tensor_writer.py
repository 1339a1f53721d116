"""Writing tensors, each in the way that is smallest for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact.coding import entropy
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.coding.context import MOST_DIGITS
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
    MOST_AXES,
    PLANES,
    RAW,
    SPARSE,
    ZEROS,
    Packed,
    Tensor,
    little,
    multiples,
    numbered,
    turned,
)
from shoestring.artifact.wire import Writer

_FURTHEST = 1 << MOST_DIGITS
_MOST_LEVELS = 1024  # of tensors that are tried in context: more have little of it
# of integers, that may be few and far between: more are mostly neighbours, which a grid knows
_MOST_APART = 64


@dataclass
class Tensors:
    """Three runs of bytes: descriptions, the entropy-coded stream, plain values."""

    headers: Writer = field(default_factory=Writer)
    stream: bytes = b""
    plain: Writer = field(default_factory=Writer)
    packed: list[Packed] = field(default_factory=list)


@dataclass(frozen=True)
class _Way:
    """A way to keep a tensor: its size in bytes (fractions count), and what goes where."""

    size: float
    coding: int
    header: bytes = b""
    plain: bytes = b""
    parts: tuple[entropy.Part, ...] = ()
    model_bits: float = 0.0
    levels: int = 0


def encode(
    tensors: list[Tensor],
    *,
    smallest: bool = False,
    advance: Callable[[str], None] = lambda note: None,
) -> Tensors:
    """Each tensor in the way that is smallest for it.

    `smallest` allows ways that are slow to decode. `advance` is called after each.
    """
    out = Tensors()
    out.headers.varint(len(tensors))
    parts: list[entropy.Part] = []
    previous = -1
    for one in tensors:
        step = 0 if one.member is None else one.member - previous
        if step < 0 or (one.member is not None and step == 0):
            raise ValueError("members must come in the order of the module")
        previous = previous if one.member is None else one.member
        way = min(_ways(one, smallest), key=lambda way: (way.size, way.coding))
        header = _description(one, step, way.coding) + way.header
        parts += way.parts
        out.headers += header
        out.plain += way.plain
        out.packed.append(
            Packed(one, way.coding, way.model_bits, len(way.plain), len(header), way.levels)
        )
        advance("")
    out.stream = entropy.encode(parts)
    return out


def _description(one: Tensor, step: int, coding: int) -> bytes:
    axes = one.bits.ndim
    if axes > MOST_AXES:
        raise ValueError(f"a tensor has {axes} axes and a file holds {MOST_AXES} at most")
    out = Writer([(step != 1) << 7 | (one.element != 1) << 6 | min(axes, 7) << 3 | coding])
    if step != 1:
        out.varint(step)
    if one.element != 1:
        out.append(one.element)
    if axes >= 7:
        out.varint(axes)
    for size in one.bits.shape:
        out.varint(size)
    return bytes(out)


def _ways(one: Tensor, smallest: bool) -> Iterator[_Way]:
    flat = one.bits.reshape(-1)
    if not flat.any():
        yield _Way(0, ZEROS)
        return
    yield _Way(flat.nbytes, RAW, plain=little(flat))
    yield from _sparse(flat)
    grid, most, fits = None, _MOST_LEVELS, one.bits.ndim > 0 and context_coding.fits(one.bits.shape)
    if ELEMENTS[one.element][0] == "float32" and fits and (grid := _grid(one.bits)) is not None:
        levels, scales = grid
        form, kept = _narrowest(one.element, scales.view(np.uint32))
        yield from _in_context(
            levels, GRID if len(scales) == 1 else GRIDS, form, kept, b"", smallest
        )
    if (
        ELEMENTS[one.element][0] in INTEGERS
        and fits
        and np.abs(integers := one.array().astype(np.int64)).max() < _FURTHEST
    ):
        most = _MOST_APART
        yield from _in_context(integers, GRID, INTEGER_FORM, b"", b"", smallest)
    if not _few(flat):
        yield _planes(one.element, flat)
        return
    values, symbols, counts = _distinct(flat)
    if len(values) > entropy.MOST_SYMBOLS:
        yield _planes(one.element, flat)
        return
    yield _levels(one.element, values, symbols, counts)
    if grid is None and fits and 1 < len(values) <= min(most, flat.size // 4):
        yield from _levels_in_context(one, values, symbols, smallest)
    if len(values) > 256:
        yield _planes(one.element, flat)


def _sparse(flat: np.ndarray) -> Iterator[_Way]:
    nonzero = flat != 0
    ones = int(nonzero.sum())
    if not 0 < ones < flat.size:
        return
    codes, table, model_bits = _table(np.array([flat.size - ones, ones]))
    size = model_bits / 8 + 2 + ones * flat.itemsize
    yield _Way(size, SPARSE, codes, little(flat[nonzero]), ((nonzero, table),), model_bits)


def _levels(element: int, values: np.ndarray, symbols: np.ndarray, counts: np.ndarray) -> _Way:
    form, kept = _narrowest(element, values)
    header = Writer()
    header.varint(len(values))
    header.append(form)
    if len(values) == 1:
        return _Way(len(kept) + len(header), LEVELS, bytes(header), kept, levels=1)
    codes, table, model_bits = _table(counts)
    header += codes
    return _Way(
        len(kept) + len(header) + model_bits / 8,
        LEVELS,
        bytes(header),
        kept,
        ((symbols, table),),
        model_bits,
        len(values),
    )


def _levels_in_context(
    one: Tensor, values: np.ndarray, symbols: np.ndarray, smallest: bool
) -> Iterator[_Way]:
    numbers = numbered(one.element, values)
    if numbers.dtype.kind == "f" and np.isnan(numbers).any():
        return
    # The level nearest to zero is number 0: what is rare and what is common are then its ends and
    # its middle.
    order = np.argsort(numbers, kind="stable")
    zero = int(np.argmin(np.abs(numbers[order].astype(np.float64))))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - zero
    form, kept = _narrowest(one.element, values[order])
    about = Writer()
    about.varint(len(values))
    about.varint(zero)
    levels = place[symbols].reshape(one.bits.shape)
    yield from _in_context(levels, CONTEXT, form, kept, bytes(about), smallest, len(values))


def _in_context(
    levels: np.ndarray,
    coding: int,
    form: int,
    kept: bytes,
    about: bytes,
    smallest: bool,
    count: int = 0,
) -> Iterator[_Way]:
    both = smallest and levels.size > context_coding.FEW  # one by one is not always the smaller
    for slow in (False, True) if both else (smallest,):
        choice, notes = context_coding.choose(levels, slow)
        header = Writer()
        context_coding.write(header, choice, form)
        header += about
        model_bits = entropy.note_bits(notes)
        yield _Way(
            model_bits / 8 + len(header) + len(kept),
            coding,
            bytes(header),
            kept,
            ((notes, None),),
            model_bits,
            count,
        )


def _grid(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(whole numbers in the tensor's shape, steps) whose products these float32 bits are.

    A step for all, or for each slice.
    """
    values = bits.view(np.float32)
    if (bits == 0x80000000).any() or not np.isfinite(values).all():
        return None
    slices = values.reshape(1, -1), values.reshape(len(values), -1)
    for rows in slices if values.ndim > 1 and len(values) > 1 else slices[:1]:
        sizes = np.where(rows == 0, np.inf, np.abs(rows)).min(1)
        sizes[np.isinf(sizes)] = 0
        for parts in (1, 2, 3, 4):
            scales = (sizes / parts).astype(np.float32)
            if (levels := _multiples_of(rows, scales)) is not None:
                return levels.reshape(values.shape), scales
    return None


def _multiples_of(rows: np.ndarray, scales: np.ndarray) -> np.ndarray | None:
    divisors = np.where(scales > 0, scales, 1).astype(np.float64)[:, None]
    for part in (
        slice(0, 64),
        slice(None),
    ):  # a look at the first columns first: most tensors have no grid
        with np.errstate(over="ignore"):
            levels = np.rint(rows[:, part] / divisors)
        if np.abs(levels).max() >= _FURTHEST:
            return None
        levels = levels.astype(np.int64)
        if not np.array_equal(multiples(levels, scales[:, None]), rows[:, part].view(np.uint32)):
            return None
    return levels


def _planes(element: int, flat: np.ndarray) -> _Way:
    """Bytes of equal weight together, the sign behind the fraction.

    Exponents repeat and fractions do not.
    """
    bits = turned(element, flat, 1)
    header, plain, parts, total = Writer([0]), bytearray(), [], 0.0
    for place in reversed(range(flat.itemsize)):
        plane = (bits >> bits.dtype.type(8 * place)).astype(np.uint8)
        counts = np.bincount(plane, minlength=256)
        lowest, highest = np.flatnonzero(counts)[[0, -1]].tolist()
        used = counts[lowest : highest + 1]
        if len(used) == 1:
            header[0] |= 1 << place
            header += bytes([lowest, 0])
            continue
        codes, table, model_bits = _table(used)
        if model_bits / 8 + len(codes) + 2 < 0.99 * len(
            plane
        ):  # for less, decoding is not worth its time
            header[0] |= 1 << place
            header += bytes([lowest, len(used) - 1]) + codes
            parts.append((plane - np.uint8(lowest), table))
            total += model_bits
        else:
            plain += plane.tobytes()
    return _Way(
        len(header) + len(plain) + total / 8,
        PLANES,
        bytes(header),
        bytes(plain),
        tuple(parts),
        total,
    )


def _table(counts: np.ndarray) -> tuple[bytes, np.ndarray, float]:
    codes = entropy.shrink(counts)
    table = entropy.frequencies(codes)
    return codes.tobytes(), table, entropy.bits(table, counts)


def _distinct(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(values in order, the place of each element's value, how often each is there)."""
    if flat.itemsize > 2:
        return np.unique(flat, return_inverse=True, return_counts=True)
    counts = np.bincount(flat, minlength=1 << 8 * flat.itemsize)
    values = np.flatnonzero(counts)
    places = np.zeros(len(counts), np.int64)
    places[values] = np.arange(len(values))
    return values.astype(flat.dtype), places[flat], counts[values]


def _few(flat: np.ndarray) -> bool:
    """Whether there can be few enough distinct values to be worth sorting for, judged on a sample
    of a large tensor.
    """
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
            if (
                np.array_equal(halves.astype(np.float32).view(np.uint32), values)
                and not np.isnan(halves).any()
            ):
                return HALF, halves.astype("<f2").tobytes()
        if not (values & 0xFFFF).any():
            return BFLOAT16, (values >> 16).astype("<u2").tobytes()
    return INTEGER_FORM, little(values)
