"""The machine code for images: see `sign_code.py`."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from llvmlite import ir

from shoestring.artifact.machine_code import (
    FLOAT,
    FLOATS,
    LANES,
    LONG,
    TO_FLOATS,
    TO_WORDS,
    WORD,
    WORDS,
    function,
)


def pack_planes(module: ir.Module) -> ir.Function:
    """Add the function that packs an image (channels × pixels) into words of signs.

    There is a word of the signs of 32 channels for each pixel, and a 0 after each plane.
    """
    b, (values, channels, pixels, words) = function(
        module, "pack_planes", (TO_FLOATS, LONG, LONG, TO_WORDS), internal=True
    )
    plane_count = b.lshr(b.add(channels, LONG(31)), LONG(5))
    stride = b.add(pixels, LONG(1))

    def plane(plane_index: Any, _: Any) -> Sequence[Any]:
        first = b.shl(plane_index, LONG(5))
        left = b.sub(channels, first)
        count = b.select(b.icmp_signed("<", left, LONG(32)), left, LONG(32))
        source, target = b.at(values, b.mul(first, pixels)), b.at(words, b.mul(plane_index, stride))
        last = b.mul(b.sub(count, LONG(1)), pixels)

        def gathered(pixel: Any, kind: Any, zero: Any, word: Any) -> None:
            def channel(index: Any, carried: list[Any]) -> Sequence[Any]:
                value = b.read(source, b.sub(last, b.mul(index, pixels)), pixel, kind=kind)
                sign = b.sext(b.fcmp_ordered("<", value, zero), word)
                return (b.sub(b.add(carried[0], carried[0]), sign),)

            start = ir.Constant(word, [0] * LANES) if word is WORDS else WORD(0)
            b.store(b.loop(count, (start,), channel)[0], b.at(target, pixel, kind=word), align=4)

        def vectors() -> None:
            # The last vector begins early, so that it ends with the pixels.
            def vector(index: Any, _: Any) -> Sequence[Any]:
                begin, latest = b.mul(index, LONG(LANES)), b.sub(pixels, LONG(LANES))
                begin = b.select(b.icmp_signed("<", begin, latest), begin, latest)
                gathered(begin, FLOATS, ir.Constant(FLOATS, [0.0] * LANES), WORDS)
                return ()

            b.loop(b.udiv(b.add(pixels, LONG(LANES - 1)), LONG(LANES)), (), vector)

        def single(pixel: Any, _: Any) -> Sequence[Any]:
            gathered(pixel, FLOAT, FLOAT(0.0), WORD)
            return ()

        enough = b.icmp_signed(">=", pixels, LONG(LANES))
        b.when(enough, vectors)
        b.loop(b.select(enough, LONG(0), pixels), (), single)
        b.store(WORD(0), b.at(target, pixels))
        return ()

    b.loop(plane_count, (), plane)
    b.ret_void()
    return b.function


def unfolding(module: ir.Module) -> ir.Function:
    """Add the function that gathers panels of 16 output pixels.

    For each plane and tap a panel has the 16 words that its pixels see, by a table of indices.
    """
    b, (words, planes, stride, table, taps, panels, target) = function(
        module, "unfold", (TO_WORDS, LONG, LONG, TO_WORDS, LONG, LONG, TO_WORDS), internal=True
    )
    across = b.mul(panels, LONG(LANES))

    def panel(panel_index: Any, _: Any) -> Sequence[Any]:
        def plane(plane_index: Any, _: Any) -> Sequence[Any]:
            source = b.at(words, b.mul(plane_index, stride))

            def tap(tap_index: Any, _: Any) -> Sequence[Any]:
                pixels = b.at(table, b.mul(tap_index, across), b.mul(panel_index, LONG(LANES)))
                step = b.add(b.mul(b.add(b.mul(panel_index, planes), plane_index), taps), tap_index)
                goal = b.at(target, b.mul(step, LONG(LANES)))
                for lane in range(LANES):
                    pixel = b.sext(b.read(pixels, LONG(lane)), LONG)
                    b.store(b.read(source, pixel), b.at(goal, LONG(lane)))
                return ()

            b.loop(taps, (), tap)
            return ()

        b.loop(planes, (), plane)
        return ()

    b.loop(panels, (), panel)
    b.ret_void()
    return b.function


_CONVOLVE = {
    "values": TO_FLOATS,
    "images": LONG,
    "channels": LONG,
    "pixels": LONG,
    "table": TO_WORDS,
    "taps": LONG,
    "words": TO_WORDS,
    "panel_words": TO_WORDS,
    "filters": TO_WORDS,
    "filter_count": LONG,
    "scales": TO_FLOATS,
    "ones": TO_FLOATS,
    "out": TO_FLOATS,
    "out_pixels": LONG,
}
"""The arguments of `convolve`, in order, with their types."""


def convolving(
    module: ir.Module, planes: ir.Function, unfold: ir.Function, multiply: ir.Function
) -> None:
    """Add the function that convolves images, one after the other.

    It packs signs, gathers panels of what each output pixel sees, and multiplies with the filters.
    """
    b, arguments = function(module, "convolve", tuple(_CONVOLVE.values()), internal=False)
    given = SimpleNamespace(**dict(zip(_CONVOLVE, arguments, strict=True)))
    channels, pixels, words = given.channels, given.pixels, given.words
    count = b.lshr(b.add(channels, LONG(31)), LONG(5))
    panels = b.udiv(b.add(given.out_pixels, LONG(LANES - 1)), LONG(LANES))
    steps = b.mul(count, given.taps)

    def image(index: Any, _: Any) -> Sequence[Any]:
        values = b.at(given.values, b.mul(index, b.mul(channels, pixels)))
        b.call(planes, (values, channels, pixels, words))
        stride = b.add(pixels, LONG(1))
        b.call(unfold, (words, count, stride, given.table, given.taps, panels, given.panel_words))
        out = b.at(given.out, b.mul(index, b.mul(given.filter_count, given.out_pixels)))
        total = b.mul(channels, given.taps)
        rows = given.filters, steps, given.filter_count
        columns = given.panel_words, panels, given.out_pixels
        scales = given.scales, given.ones
        b.call(multiply, (*rows, *columns, *scales, out, given.out_pixels, total))
        return ()

    b.loop(given.images, (), image)
    b.ret_void()
