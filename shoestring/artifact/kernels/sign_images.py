"""The part of the machine code that is for images: see `sign_code.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from shoestring.artifact.kernels.vector_code import (
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
    """An image, channels × pixels, as words of the signs of 32 channels for each pixel, each plane
    with a 0 behind it.
    """
    b, (values, channels, pixels, words) = function(
        module, "pack_planes", (TO_FLOATS, LONG, LONG, TO_WORDS), internal=True
    )
    planes = b.lshr(b.add(channels, LONG(31)), LONG(5))
    stride = b.add(pixels, LONG(1))

    def plane(at: Any, _: Any) -> Sequence[Any]:
        first = b.shl(at, LONG(5))
        left = b.sub(channels, first)
        count = b.select(b.icmp_signed("<", left, LONG(32)), left, LONG(32))
        source, target = b.at(values, b.mul(first, pixels)), b.at(words, b.mul(at, stride))
        last = b.mul(b.sub(count, LONG(1)), pixels)

        def gathered(pixel: Any, kind: Any, zero: Any, word: Any) -> None:
            def channel(place: Any, carried: list[Any]) -> Sequence[Any]:
                value = b.read(source, b.sub(last, b.mul(place, pixels)), pixel, kind=kind)
                sign = b.sext(b.fcmp_ordered("<", value, zero), word)
                return (b.sub(b.add(carried[0], carried[0]), sign),)

            start = ir.Constant(word, [0] * LANES) if word is WORDS else WORD(0)
            b.store(b.loop(count, (start,), channel)[0], b.at(target, pixel, kind=word), align=4)

        def vectors() -> None:
            def vector(
                place: Any, _: Any
            ) -> Sequence[Any]:  # the last begins early, so that it ends with the pixels
                begin, latest = b.mul(place, LONG(LANES)), b.sub(pixels, LONG(LANES))
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

    b.loop(planes, (), plane)
    b.ret_void()
    return b.function


def unfolding(module: ir.Module) -> ir.Function:
    """Panels of 16 places of the output.

    For each plane and tap the 16 words that it sees there, by a table of places.
    """
    b, (words, planes, stride, table, taps, panels, target) = function(
        module, "unfold", (TO_WORDS, LONG, LONG, TO_WORDS, LONG, LONG, TO_WORDS), internal=True
    )
    across = b.mul(panels, LONG(LANES))

    def panel(at: Any, _: Any) -> Sequence[Any]:
        def plane(which: Any, _: Any) -> Sequence[Any]:
            source = b.at(words, b.mul(which, stride))

            def tap(one: Any, _: Any) -> Sequence[Any]:
                places = b.at(table, b.mul(one, across), b.mul(at, LONG(LANES)))
                step = b.add(b.mul(b.add(b.mul(at, planes), which), taps), one)
                to = b.at(target, b.mul(step, LONG(LANES)))
                for lane in range(LANES):
                    place = b.sext(b.read(places, LONG(lane)), LONG)
                    b.store(b.read(source, place), b.at(to, LONG(lane)))
                return ()

            b.loop(taps, (), tap)
            return ()

        b.loop(planes, (), plane)
        return ()

    b.loop(panels, (), panel)
    b.ret_void()
    return b.function


def convolving(
    module: ir.Module, planes: ir.Function, unfold: ir.Function, multiply: ir.Function
) -> None:
    """Images one after the other.

    Signs, panels of what each place of the output sees, product with the filters.
    """
    kinds = (
        TO_FLOATS,
        LONG,
        LONG,
        LONG,
        TO_WORDS,
        LONG,
        TO_WORDS,
        TO_WORDS,
        TO_WORDS,
        LONG,
        TO_FLOATS,
        TO_FLOATS,
        TO_FLOATS,
        LONG,
    )
    b, arguments = function(module, "convolve", kinds, internal=False)
    (
        values,
        images,
        channels,
        pixels,
        table,
        taps,
        words,
        panel_words,
        filters,
        filter_count,
        scales,
        ones,
        out,
        places,
    ) = arguments
    count = b.lshr(b.add(channels, LONG(31)), LONG(5))
    panels = b.udiv(b.add(places, LONG(LANES - 1)), LONG(LANES))
    steps = b.mul(count, taps)

    def image(at: Any, _: Any) -> Sequence[Any]:
        b.call(planes, (b.at(values, b.mul(at, b.mul(channels, pixels))), channels, pixels, words))
        b.call(unfold, (words, count, b.add(pixels, LONG(1)), table, taps, panels, panel_words))
        to = b.at(out, b.mul(at, b.mul(filter_count, places)))
        total = b.mul(channels, taps)
        b.call(
            multiply,
            (
                filters,
                steps,
                filter_count,
                panel_words,
                panels,
                places,
                scales,
                ones,
                to,
                places,
                total,
            ),
        )
        return ()

    b.loop(images, (), image)
    b.ret_void()
