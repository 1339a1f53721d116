"""Matrices of integers in the stream: a model is chosen, written, read and decoded."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from shoestring.artifact.coding import context_loop, work
from shoestring.artifact.coding.context import BLOCKS, MOST_DIGITS, RATES, STRENGTHS, Choice
from shoestring.artifact.coding.context_tiles import Tiles
from shoestring.artifact.coding.entropy import Decoder, note_bits
from shoestring.artifact.wire import Reader, Writer

FEW = 512
"""So many numbers are decoded one by one as fast as in tiles."""
MOST_ONE_BY_ONE = 1 << 24
MOST_COLUMNS = 1 << 20
"""The limit for tiles, which model a row at once and need two hundred times its memory."""
_BLOCKS = {1 << 12: 2, 1 << 16: 3}
"""For tensors of fewer numbers than a key: the most blocks, as an index into BLOCKS plus one.

Each block takes as long as some hundred numbers.
"""
_FEW_DIGITS = 5  # with more, the context predicts less and each number takes more bits
# The choice is made on so many numbers of a large matrix, or an eighth where coding is slow.
_TRIED = 1 << 17


def matrix(levels: np.ndarray, across: bool) -> np.ndarray:
    """The levels as rows (axis 0) and columns (other axes), transposed where `across`."""
    rows = levels.reshape(len(levels), -1) if levels.ndim > 1 else levels.reshape(1, -1)
    return np.ascontiguousarray(rows.T if across else rows)


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape can be coded in context."""
    return (
        prod(shape) > 0
        and max(shape[0], prod(shape[1:]), prod(shape) if len(shape) == 1 else 0) <= MOST_COLUMNS
    )


def choose(
    levels: np.ndarray,
    smallest: bool,
    account: work.Work | None = None,
    one_by_one: bool | None = None,
) -> tuple[Choice, np.ndarray]:
    """The model that takes the fewest bits of those tried, and the notes to encode.

    `levels`: integers around 0, in a tensor's shape.
    `smallest`: whether to try more models, one by one, for a smaller file.
    `account`: counts what decoding the notes asks for beyond what is known beforehand.
    `one_by_one`: whether they are coded one by one; None: where they are few, or `smallest`.
    """
    if one_by_one is None:
        one_by_one = levels.size <= FEW or (smallest and levels.size <= MOST_ONE_BY_ONE)
    digits = max(1, int(np.abs(levels).max()).bit_length())
    width = levels.shape[-1] if levels.ndim > 2 else 0
    # The mixing adds up what all of a tile teaches, so it must learn more slowly.
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
            # A width takes a byte, or two.
            bits[choice] = note_bits(notes(choice, sample)) + 8 * (choice.width > 0)
        return bits[choice]

    best = start
    changes = _changes(start, sample.shape)
    if one_by_one and not smallest:  # small tensors are many: only the layout is tried
        changes = changes[:1]
    for _ in range(2):
        before = best
        for group in changes:
            best = min((best, *(replace(best, **change) for change in group)), key=cost)
        if best == before:
            break
    return best, notes(best, levels, account)


def _changes(choice: Choice, shape: tuple[int, ...]) -> list[list[dict[str, Any]]]:
    """The alternatives to a choice, in groups: layout, tiles, strength, rate, share."""
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
        [{"strength": index} for index in range(len(STRENGTHS))],
        [{"rate": index} for index in range(len(RATES))],
        [{"share": index} for index in (0, 1)],
    ]


def _widths(shape: tuple[int, ...], columns: int) -> set[int]:
    """The widths to try: of the axes, and of square images and kernels that were flattened."""
    if len(shape) > 2:
        return {shape[-1], prod(shape[2:])}
    root = round(columns**0.5)
    squares = {root} if root * root == columns else set()
    return squares | {side * side for side in (2, 3, 4, 5, 6, 7, 8) if columns % (side * side) == 0}


def notes(choice: Choice, levels: np.ndarray, account: work.Work | None = None) -> np.ndarray:
    """The notes that an encoder writes for levels in a tensor's shape.

    `account`: counts what decoding them asks for beyond what is known beforehand.
    """
    levels_2d = matrix(levels, choice.across)
    if not choice.tiles:
        found = context_loop.notes(choice, levels_2d)
        if account is not None:
            full = int(np.count_nonzero(levels))
            account.spend((len(found) - levels_2d.size + full) * work.DECISION)
        return found
    parts: list[np.ndarray] = []

    def note(probabilities: np.ndarray, bits: np.ndarray | None) -> np.ndarray:
        assert bits is not None
        integers = bits.astype(np.int64)
        parts.append(probabilities << 1 | integers)
        return integers

    rows, columns = levels_2d.shape
    Tiles(choice, rows, columns, account).run(note, levels_2d)
    return np.concatenate(parts)


def write(out: Writer, choice: Choice, form: int) -> None:
    """Write the description of a model, with the form of the values."""
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
    """Read a model and the form of the values.

    `columns`: of the matrix before it is transposed.
    """
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


def decode(
    choice: Choice, rows: int, columns: int, decoder: Decoder, account: work.Work | None = None
) -> tuple[np.ndarray, float]:
    """The matrix from the stream, in its original orientation, and the bits that it took.

    `rows`, `columns`: of the matrix before it is transposed.
    `account`: counts what it asks for beyond what is known beforehand; None: nobody does. Raises
        ShoeError where that is more than is left.
    """
    account = account or work.Work(1 << 62)
    shape = (columns, rows) if choice.across else (rows, columns)
    before = decoder.depth()
    if choice.tiles:
        values = Tiles(choice, *shape, account).run(
            lambda probabilities, _known: decoder.bits(probabilities)
        )
    else:
        values = context_loop.numbers(choice, *shape, decoder, account)
    return (values.T if choice.across else values), before - decoder.depth()
