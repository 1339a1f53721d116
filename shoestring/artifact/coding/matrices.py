"""Matrices of whole numbers in the stream: choosing a model for one, writing it, reading it."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from shoestring.artifact.coding import context_loop
from shoestring.artifact.coding.context import BLOCKS, MOST_DIGITS, RATES, STRENGTHS, Choice
from shoestring.artifact.coding.context_tiles import LARGEST_BLOCK, Tiles
from shoestring.artifact.coding.entropy import Decoder, note_bits
from shoestring.artifact.wire import Reader, Writer

FEW = 512
"""Numbers that are as quickly decoded one by one as in tiles."""
MOST_ONE_BY_ONE = 1 << 24
MOST_COLUMNS = 1 << 20
"""Of a matrix in tiles: a row is modelled at once, and takes two hundred times its size meanwhile.
"""
_BLOCKS = {1 << 12: 2, 1 << 16: 3}
"""How many blocks, a place in BLOCKS plus one, tensors of fewer numbers may have.

Each takes as long as some hundred numbers.
"""
_FEW_DIGITS = 5  # of numbers with more the context says less, and each is more bits
_TRIED = (
    1 << 17
)  # numbers of a large matrix that the choice is made on; without a compiler, one by one, an eighth


def matrix(levels: np.ndarray, across: bool) -> np.ndarray:
    """The levels as rows (axis 0) and columns (the others), or the other way round."""
    rows = levels.reshape(len(levels), -1) if levels.ndim > 1 else levels.reshape(1, -1)
    return np.ascontiguousarray(rows.T if across else rows)


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape can be coded in context."""
    return (
        prod(shape) > 0
        and max(shape[0], prod(shape[1:]), prod(shape) if len(shape) == 1 else 0) <= MOST_COLUMNS
    )


def choose(levels: np.ndarray, smallest: bool) -> tuple[Choice, np.ndarray]:
    """(the model that takes the fewest bits of those tried, the notes to encode) for levels around
    0 in a tensor's shape.
    """
    one_by_one = levels.size <= FEW or (smallest and levels.size <= MOST_ONE_BY_ONE)
    digits = max(1, int(np.abs(levels).max()).bit_length())
    width = levels.shape[-1] if levels.ndim > 2 else 0
    # What a whole tile teaches is a sum: it must be taken more slowly.
    most = next((tiles for size, tiles in _BLOCKS.items() if levels.size < size), len(BLOCKS))
    start = (
        Choice(0, False, width, 1, 1, 0, digits)
        if one_by_one
        else Choice(most, False, width, 1, 3, 0, digits)
    )
    slow = one_by_one and levels.size > FEW and context_loop.compiled() is None
    tried = _TRIED >> 3 if slow or digits > _FEW_DIGITS else _TRIED
    sample = (
        levels if levels.size <= tried else levels[: max(1, tried * len(levels) // levels.size)]
    )
    bits: dict[Choice, float] = {}

    def cost(choice: Choice) -> float:
        if choice not in bits:
            bits[choice] = note_bits(notes(choice, sample)) + 8 * (
                choice.width > 0
            )  # a width is a byte, or two
        return bits[choice]

    best = start
    changes = _changes(start, sample.shape)
    if one_by_one and not smallest:  # small tensors are many: of them only the layout is tried
        changes = changes[:1]
    for _ in range(2):
        before = best
        for group in changes:
            best = min((best, *(replace(best, **change) for change in group)), key=cost)
        if best == before:
            break
    return best, notes(best, levels)


def _changes(choice: Choice, shape: tuple[int, ...]) -> list[list[dict[str, Any]]]:
    """What may be changed in a choice, thing by thing."""
    columns = prod(shape[1:]) if len(shape) > 1 else prod(shape)
    layouts = [
        {"width": width, "across": False}
        for width in sorted({0, *_widths(shape, columns)})
        if width < columns
    ]
    if len(shape) > 1:
        layouts.append({"width": 0, "across": True})
    return [
        layouts,
        [{"tiles": tiles} for tiles in range(1, choice.tiles + 1)] if choice.tiles else [],
        [{"strength": place} for place in range(len(STRENGTHS))],
        [{"rate": place} for place in range(len(RATES))],
        [{"share": place} for place in (0, 1)],
    ]


def _widths(shape: tuple[int, ...], columns: int) -> set[int]:
    """Widths that columns may have.

    Those of the axes, and of square images and maps that were flattened.
    """
    if len(shape) > 2:
        return {shape[-1], prod(shape[2:])}
    root = round(columns**0.5)
    squares = {root} if root * root == columns else set()
    return squares | {side * side for side in (2, 3, 4, 5, 6, 7, 8) if columns % (side * side) == 0}


def notes(choice: Choice, levels: np.ndarray) -> np.ndarray:
    """What an encoder is to write for levels in a tensor's shape."""
    known = matrix(levels, choice.across)
    if not choice.tiles:
        return context_loop.notes(choice, known)
    found: list[np.ndarray] = []

    def note(chances: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        assert bits is not None
        whole = bits.astype(np.int64)
        found.append(chances << 1 | whole)
        return whole

    Tiles(choice, *known.shape).run(note, known)
    return np.concatenate(found)


def write(out: Writer, choice: Choice, form: int) -> None:
    """The description of a model, with the form of the values in it."""
    out.append(
        choice.tiles << 5
        | choice.across << 4
        | choice.share << 3
        | (choice.width > 0) << 2
        | choice.strength
    )
    out.append(choice.rate << 6 | choice.digits << 2 | form)
    if choice.width:
        out.varint(choice.width)


def read(reader: Reader, columns: int) -> tuple[Choice, int]:
    """(the model, the form of the values) of a matrix with so many columns before it is transposed."""
    first, second = reader.byte(), reader.byte()
    tiles, digits = first >> 5, second >> 2 & 15
    if tiles > len(BLOCKS):
        raise reader.fail(f"there is no order {tiles}")
    if not 1 <= digits <= MOST_DIGITS:
        raise reader.fail("a level has no digits")
    width = reader.varint(columns) if first >> 2 & 1 else 0
    if first >> 2 & 1 and (not width or first >> 4 & 1):
        raise reader.fail("a width where there can be none")
    return Choice(
        tiles, bool(first >> 4 & 1), width, first & 3, second >> 6, first >> 3 & 1, digits
    ), second & 3


def room(choice: Choice, rows: int, columns: int) -> int:
    """How many bytes decoding takes, for a while, besides the tensor itself.

    `rows` and `columns` are before transposing.
    """
    if choice.across:
        rows, columns = columns, rows
    seen = 16 * choice.planes * (rows + 2 * columns)
    if not choice.tiles:
        return 24 * rows * columns + seen
    block = min(rows * columns, max(columns, LARGEST_BLOCK))
    return 4 * (rows + 2) * (columns + 2 * max(choice.width, 1)) + 240 * block + seen


def decode(choice: Choice, rows: int, columns: int, decoder: Decoder) -> tuple[np.ndarray, float]:
    """(the matrix, not transposed any more, the bits it took) from the stream.

    `rows` and `columns` are before transposing.
    """
    shape = (columns, rows) if choice.across else (rows, columns)
    before = decoder.depth()
    if choice.tiles:
        values = Tiles(choice, *shape).run(lambda chances, _known: decoder.bits(chances))
    else:
        values = context_loop.numbers(choice, *shape, decoder)
    return (values.T if choice.across else values), before - decoder.depth()
