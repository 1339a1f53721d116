"""The account of work: what each thing that a file asks for may cost, in nanoseconds.

The costs are bounds of what decoding takes on a machine of today without a compiler
(`benchmarks/bounds.py` measures them); they do not depend on the machine that reads, so that every
decoder takes and refuses the same files. `docs/format.md` states them.
"""

from __future__ import annotations

from math import ceil

from shoestring.artifact.coding.context import BLOCKS, FARS, NEARS, Choice
from shoestring.artifact.coding.lanes import lanes_for
from shoestring.artifact.wire import ShoeError

SECOND = 1_000_000_000
TENSOR, AXIS, ELEMENT = 20_000, 1_000, 5
LEVELS, LEVEL = 15_000, 15  # levels or scales, and each of them
PLANE, PLANE_ELEMENT = 15_000, 4
TABLE, ENTRY = 60_000, 160
SYMBOL, SYMBOL_BIT = 20, 7
NUMBER = 25  # to make elements of integers in context
MATRIX, ROW, COLUMN, DECISION = 60_000, 1_000, 250, 2_750  # one by one
TILED, TILE, PASS, CONTEXT, TILED_DECISION = 120_000, 70_000, 35_000, 50, 220
BLOCK, LANES, STEP, LANE_SYMBOL = 150_000, 1_500_000, 15_000, 20  # tensors in blocks
OLD_BYTE = 24 * DECISION  # what versions 1 to 3 have besides, for each byte of the code stream
LARGEST_BLOCK = 1 << 18
"""The most numbers in a block of several rows, which are in memory several times."""


def allowance(declared: int, stream: int = 0) -> int:
    """The nanoseconds that a file may ask for: a second, and a second for each MB that it declares.

    `declared`: the bytes of its tensors, 4 or more for an element.
    `stream`: the bytes of its code stream where it is of version 1 to 3; otherwise 0.
    """
    return SECOND + 1000 * declared + OLD_BYTE * stream


class Work:
    """How much of its allowance a file has asked for.

    `allowed`, `asked`: in nanoseconds.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed, self.asked = allowed, 0

    def spend(self, nanoseconds: int) -> None:
        """Count so much more; raises ShoeError where it is more than is left."""
        self.asked += nanoseconds
        if self.asked > self.allowed:
            raise ShoeError(
                f"decoding this file takes {self.asked / SECOND:,.1f} s or more by the account of "
                f"its format, and {self.allowed / SECOND:,.1f} s are allowed; if you trust this "
                "file, raise max_seconds"
            )

    def left(self, price: int) -> int:
        """How many things of this price may still be asked for."""
        return (self.allowed - self.asked) // price


def table(symbols: int) -> int:
    """A table of so many symbols."""
    return TABLE + ENTRY * symbols


def coded(count: int, symbols: int) -> int:
    """So many symbols of a table, and the table."""
    return table(symbols) + count * (SYMBOL + SYMBOL_BIT * (symbols - 1).bit_length())


def bounds(rows: int, columns: int, blocks: int) -> list[int]:
    """The rows at which blocks of tiles begin and end.

    Each block has as many rows as all before it, up to a limit; the first is the smallest.
    """
    ends = [0]
    most_rows = max(1, LARGEST_BLOCK // columns)
    for end in sorted({-(-rows >> k) for k in range(blocks)}):
        ends += [*range(ends[-1] + most_rows, end, most_rows), end]
    return ends


def groups(choice: Choice, columns: int) -> int:
    """How many groups of columns a matrix has."""
    return ceil(columns / choice.width) if choice.width else 0


def contexts(choice: Choice, rows: int, columns: int) -> int:
    """How many contexts a plane has in a block of so many rows of a matrix in tiles."""
    return columns + groups(choice, columns) + 2 * NEARS + 2 * FARS + rows


def matrix(choice: Choice, rows: int, columns: int) -> int:
    """What is known beforehand of a matrix: a decision for each number, and what comes with it.

    `rows`, `columns`: as they are coded.
    """
    numbers = rows * columns
    if not choice.tiles:
        return (
            MATRIX + ROW * rows + COLUMN * (columns + choice.width) + (NUMBER + DECISION) * numbers
        )
    blocks = len(bounds(rows, columns, BLOCKS[choice.tiles - 1])) - 1
    return (
        TILED
        + blocks * 2 * (TILE + PASS)
        + 2 * CONTEXT * (blocks * contexts(choice, 0, columns) + rows)
        + (NUMBER + TILED_DECISION) * numbers
    )


def tiled_pass(choice: Choice, rows: int, columns: int, bits: int) -> int:
    """Another plane of a tile in a block of so many rows, with so many bits."""
    return PASS + CONTEXT * contexts(choice, rows, columns) + TILED_DECISION * bits


def tiled_digits(bits: int) -> int:
    """A place of the digits of a tile, with so many bits."""
    return PASS + TILED_DECISION * bits


def blocks(count: int, bits: int, width: int) -> int:
    """A tensor of so many elements, of `width` bytes, in blocks of 2^bits elements.

    All planes are taken as coded, and there may be one more, which says which elements are zero.
    """
    whole, rest = divmod(count, 1 << bits)
    return whole * _block(1 << bits, width) + (_block(rest, width) if rest else 0)


def _block(count: int, width: int) -> int:
    steps = -(-count // lanes_for(count))
    return BLOCK + (width + 1) * (LANES + STEP * steps + LANE_SYMBOL * count)


def room(choice: Choice, rows: int, columns: int) -> int:
    """The bytes that decoding a matrix needs for a while, besides the tensor itself.

    `rows`, `columns`: as they are coded.
    """
    width = choice.width
    if not choice.tiles:
        seen = 32 * choice.planes * (columns + groups(choice, columns) + NEARS + FARS)
        return 12 * rows * columns + seen + 40 * (columns + 2 * width)
    block = min(rows * columns, max(columns, LARGEST_BLOCK))
    seen = 16 * choice.planes * (rows + 2 * columns)
    return 4 * (rows + 2) * (columns + 2 * max(width, 1)) + 240 * block + seen
