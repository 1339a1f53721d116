"""Machine code for products of signs, compiled for the processor that it runs on.

LLVM comes with llvmlite (the extra `fast`), so no compiler is needed. The code uses explicit
vectors: the bits of 32 inputs are a word, 16 words are a vector, and a tile of sums stays in
registers while the words of its rows and columns are read. Processors that count the bits of a
vector (AVX-512 VPOPCNTDQ) count in words. Others count in bytes, for which NEON has an instruction
and LLVM makes shuffles for AVX2, and add the bytes up every 31 words, before one overflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from shoestring.artifact import machine_code
from shoestring.artifact.kernels.sign_images import convolving, pack_planes, unfolding
from shoestring.artifact.machine_code import (
    BYTES,
    FLOAT,
    FLOATS,
    LANES,
    LONG,
    TO_FLOATS,
    TO_WORDS,
    WORD,
    WORDS,
    Builder,
    filled,
    function,
)

_MOST_BYTES = 31  # words whose bits a byte can count, since 31 × 8 is below 256
ARGUMENTS = {
    "pack_rows": "PLLP",
    "multiply": "PLLPLLPPPLL",
    "convolve": "PLLLPLPPPLPPPL",
}
"""The functions' arguments: P is a pointer, L an integer of 64 bits."""


@dataclass(frozen=True)
class Shape:
    """The tile that suits a processor.

    `rows`, `panels`: its size, in rows and in panels of 16 columns.
    `counts_words`: whether the processor counts the bits of words.
    """

    rows: int
    panels: int
    counts_words: bool


def shape_for(features: dict[str, bool]) -> Shape:
    """The tile for a processor with these features, by LLVM's names."""
    if features.get("avx512vpopcntdq"):
        return Shape(4, 4, True)
    return Shape(4, 1, False)


def _pack_rows(module: ir.Module) -> None:
    """Add the function that packs rows of numbers into words of signs.

    A bit is 1 below zero. Bit k of word w is column 32 w + k, and bits beyond the last column are
    0.
    """
    b, (values, rows, columns, words) = function(
        module, "pack_rows", (TO_FLOATS, LONG, LONG, TO_WORDS), internal=False
    )
    full, wide = b.lshr(columns, LONG(5)), ir.VectorType(FLOAT, 32)
    rest = b.and_(columns, LONG(31))
    across = b.lshr(b.add(columns, LONG(31)), LONG(5))

    def row(row_index: Any, _: Any) -> Sequence[Any]:
        source, target = (
            b.at(values, b.mul(row_index, columns)),
            b.at(words, b.mul(row_index, across)),
        )

        def word(index: Any, _: Any) -> Sequence[Any]:
            signs = b.fcmp_ordered(
                "<", b.read(source, b.shl(index, LONG(5)), kind=wide), ir.Constant(wide, [0.0] * 32)
            )
            b.store(b.bitcast(signs, WORD), b.at(target, index))
            return ()

        b.loop(full, (), word)

        def bit(index: Any, carried: list[Any]) -> Sequence[Any]:
            value = b.read(source, b.shl(full, LONG(5)), index)
            sign = b.zext(b.fcmp_ordered("<", value, FLOAT(0.0)), WORD)
            return (b.or_(carried[0], b.shl(sign, b.trunc(index, WORD))),)

        def left_over() -> None:
            b.store(b.loop(rest, (WORD(0),), bit)[0], b.at(target, full))

        b.when(b.icmp_signed(">", rest, LONG(0)), left_over)
        return ()

    b.loop(rows, (), row)
    b.ret_void()


_TILE = (TO_WORDS, LONG, LONG, TO_WORDS, LONG, LONG, TO_FLOATS, TO_FLOATS, TO_FLOATS, LONG, LONG)
"""The arguments of `multiply`.

Row words, steps (words a row), rows, panel words, panels, columns, row scales, column scales,
results, row length of the results, total (bits a row).
"""


def _tiles(module: ir.Module, shape: Shape, panels: int) -> ir.Function:
    """Add the function for all rows × so many panels, from panel `first` on.

    `first` takes the place of the number of panels in the arguments.
    """
    b, (a, steps, rows, panel, first, columns, row_scale, column_scale, out, length, total) = (
        function(module, f"tiles_{panels}", _TILE, internal=True)
    )
    starts = [
        b.at(panel, b.mul(b.mul(b.add(first, LONG(j)), steps), LONG(LANES))) for j in range(panels)
    ]
    left = b.sub(
        columns, b.mul(b.add(first, LONG(panels - 1)), LONG(LANES))
    )  # columns in the last panel; the others are full
    all_of_them = b.splat(b.trunc(total, WORD))

    def finish(row: Any, j: int, differing: Any) -> None:
        column = b.mul(b.add(first, LONG(j)), LONG(LANES))
        agreeing = b.sitofp(b.sub(all_of_them, b.add(differing, differing)), FLOATS)
        scaled = b.fmul(
            b.fmul(agreeing, b.splat(b.read(row_scale, row))),
            b.read(column_scale, column, kind=FLOATS),
        )
        goal = b.at(out, b.mul(row, length), column)
        if j < panels - 1:
            b.store(scaled, b.at(goal, kind=FLOATS), align=4)
            return
        with b.if_else(b.icmp_signed(">=", left, LONG(LANES)), likely=True) as (full, part):
            with full:
                b.store(scaled, b.at(goal, kind=FLOATS), align=4)
            with part:

                def lane(index: Any, _: Any) -> Sequence[Any]:
                    b.store(b.extract_element(scaled, b.trunc(index, WORD)), b.at(goal, index))
                    return ()

                b.loop(left, (), lane)

    def tile(row: Any, count: int) -> None:
        sources = [b.at(a, b.mul(b.add(row, LONG(i)), steps)) for i in range(count)]
        summed = _reduce(b, shape, sources, starts, steps)
        for i in range(count):
            for j in range(panels):
                finish(b.add(row, LONG(i)), j, summed[i * panels + j])

    def many(index: Any, _: Any) -> Sequence[Any]:
        tile(b.mul(index, LONG(shape.rows)), shape.rows)
        return ()

    def single(row: Any, _: Any) -> Sequence[Any]:
        tile(row, 1)
        return ()

    full_tiles = b.udiv(rows, LONG(shape.rows))
    b.loop(full_tiles, (), many)
    b.loop(rows, (), single, start=b.mul(full_tiles, LONG(shape.rows)))
    b.ret_void()
    return b.function


def _reduce(
    b: Builder, shape: Shape, sources: list[Any], starts: list[Any], steps: Any
) -> list[Any]:
    """For each row and panel, row by row: the number of bits in which the two differ."""
    kind = WORDS if shape.counts_words else BYTES
    zeros = [filled(kind, 0)] * (len(sources) * len(starts))

    def step(index: Any, sums: list[Any]) -> list[Any]:
        columns = [b.read(start, b.mul(index, LONG(LANES)), kind=WORDS) for start in starts]
        result: list[Any] = []
        for source in sources:
            row = b.splat(b.read(source, index))
            for column in columns:
                differing = b.bitcast(b.xor(row, column), kind)
                result.append(b.add(sums[len(result)], b.counted(differing)))
        return result

    if shape.counts_words:
        return b.loop(steps, zeros, step)

    def chunk(index: Any, totals: list[Any]) -> list[Any]:
        begin = b.mul(index, LONG(_MOST_BYTES))
        end = b.add(begin, LONG(_MOST_BYTES))
        end = b.select(b.icmp_signed("<", end, steps), end, steps)
        sums = b.loop(end, zeros, step, start=begin)
        return [
            b.add(total, _summed_bytes(b, added)) for total, added in zip(totals, sums, strict=True)
        ]

    chunks = b.udiv(b.add(steps, LONG(_MOST_BYTES - 1)), LONG(_MOST_BYTES))
    return b.loop(chunks, [filled(WORDS, 0)] * len(zeros), chunk)


def _summed_bytes(b: Builder, value: Any) -> Any:
    """The sum of the four bytes of each word."""
    words = b.bitcast(value, WORDS)
    pairs = filled(WORDS, 0x00FF00FF)
    halves = b.add(b.and_(words, pairs), b.and_(b.lshr(words, filled(WORDS, 8)), pairs))
    return b.and_(b.add(halves, b.lshr(halves, filled(WORDS, 16))), filled(WORDS, 0xFFFF))


def _multiply(module: ir.Module, shape: Shape) -> ir.Function:
    """Add the function for rows × panels, in groups of panels that are as equal as possible."""
    kernels = {width: _tiles(module, shape, width) for width in range(1, shape.panels + 1)}
    b, arguments = function(module, "multiply", _TILE, internal=False)
    panels = arguments[4]
    groups = b.udiv(b.add(panels, LONG(shape.panels - 1)), LONG(shape.panels))

    def group(index: Any, _: Any) -> Sequence[Any]:
        first = b.udiv(b.mul(index, panels), groups)
        width = b.sub(b.udiv(b.mul(b.add(index, LONG(1)), panels), groups), first)
        for count, kernel in kernels.items():
            given = [
                first if number == 4 else argument for number, argument in enumerate(arguments)
            ]
            b.when(
                b.icmp_signed("==", width, LONG(count)),
                lambda k=kernel, g=given: b.call(k, g) and None,
            )
        return ()

    b.loop(groups, (), group)
    b.ret_void()
    return b.function


def source(shape: Shape) -> str:
    """The functions in LLVM's language."""
    module = ir.Module("signs")
    _pack_rows(module)
    convolving(module, pack_planes(module), unfolding(module), _multiply(module, shape))
    return str(module)


def compiled(features: dict[str, bool] | None = None) -> tuple[dict[str, int], Any]:
    """The addresses of the functions by name, and what must be kept alive while they are used.

    `features`: of a lesser processor than this one, by LLVM's names; None for this one.
    """
    return machine_code.compiled(_source_for(features), list(ARGUMENTS), features)


def assembly(features: dict[str, bool] | None = None) -> str:
    """The assembly of what `compiled` makes, for reading."""
    module, target = machine_code.targeted(_source_for(features), features)
    return target.emit_assembly(module)


def _source_for(features: dict[str, bool] | None) -> str:
    return source(shape_for(machine_code.features_here() if features is None else features))
