"""C for log-mel features: a real Fourier transform, bands and a logarithm, in integers alone.

A frame is shifted up as far as its samples allow, so that a quiet one is as exact as a loud one.
The transform keeps 30 bits, energies 64; logarithms are octaves in 2^-16.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from shoestring.artifact.chains.log_mel import BIN, WEIGHT_BITS, LogMel
from shoestring.artifact.plain_c.c_text import array, filled

_DROPPED = 13
"""Bits of an energy that are cut, so that the sum of all bins fits 64 bits."""
_UNITS = 30 + 2 + WEIGHT_BITS - _DROPPED
"""What a sum of bins is in: the energy of samples in -1..1 times 2 to this, without the shift."""


def struct(step: LogMel, prefix: str) -> str:
    """What a frame needs besides the features, as a C struct."""
    return (
        f"/* The samples of a frame, and their transform. */\n"
        f"struct {prefix}_frame {{\n"
        f"    int16_t samples[{step.window}];\n"
        f"    int32_t bins[{step.window}];\n"
        f"}};\n"
    )


def struct_bytes(step: LogMel) -> int:
    """The size of that struct."""
    return 6 * step.window


def functions(step: LogMel, prefix: str) -> str:
    """`PREFIX_begin` and `PREFIX_feed`, which call `PREFIX_put` with each feature in octaves."""
    window = step.window
    top = 30 - int(math.log2(window))
    most = max(0, min(top - 1, math.floor((62 - _UNITS - math.log2(step.floor)) / 2)))
    floor = round(math.ldexp(step.floor, _UNITS + 2 * most))
    edges = step.edges
    sine = np.rint(np.sin(2 * np.pi * np.arange(window // 4 + 1) / window) * 2**30)
    widest = max(last - first for first, last in pairwise(edges))
    return filled(
        _TEXT,
        P=prefix,
        SINE=array("int32_t", f"{prefix}_sine", sine.astype(np.int32)),
        EDGES=array(
            "uint16_t" if edges[-1] < 1 << 16 else "uint32_t",
            f"{prefix}_edges",
            np.array(edges, np.int64),
        ),
        WINDOW=str(window),
        HALF=str(window // 2),
        QUARTER=str(window // 4),
        HOP=str(step.hop),
        BANDS=str(step.bands),
        BIN=str(BIN),
        TOP=str(top - 1),
        MOST=str(most),
        FLOOR=f"UINT64_C({floor})",
        UNITS=str(_UNITS),
        DROPPED=str(_DROPPED),
        WHOLE=str(1 << WEIGHT_BITS),
        WIDE="uint32_t" if widest < 1 << (32 - WEIGHT_BITS) else "uint64_t",
        FEATURES=str(step.frames * step.bands),
    )


_TEXT = """\
/* sin(2 pi i / @WINDOW@) in 2^-30, and where bands begin and end, in 1/@BIN@ of a bin. */
@SINE@
@EDGES@
static int32_t @P@_sin(uint32_t at) { return @P@_sine[at <= @QUARTER@ ? at : @HALF@ - at]; }

static int32_t @P@_cos(uint32_t at)
{
    return at <= @QUARTER@ ? @P@_sine[@QUARTER@ - at] : -@P@_sine[at - @QUARTER@];
}

/* a * c + b * s, where c and s are in 2^-30. A shift keeps the sign on compilers for such cores. */
static int32_t @P@_turned(int32_t a, int32_t c, int32_t b, int32_t s)
{
    return (int32_t)(((int64_t)a * c + (int64_t)b * s + ((int32_t)1 << 29)) >> 30);
}

/* The bins of pairs of samples, as complex numbers: weighted by a Hann window, and 2^shift times as
   large. */
static void @P@_transform(uint32_t shift)
{
    const int16_t *samples = @P@_arena.frame.samples;
    int32_t *bins = @P@_arena.frame.bins;
    uint32_t i, j, bit, half, to = 0;
    for (i = 0; i < @WINDOW@; i++) {
        int32_t hann = ((int32_t)1 << 29) - (@P@_cos(i <= @HALF@ ? i : @WINDOW@ - i) >> 1);
        bins[2 * to + (i & 1)] =
            (int32_t)(((int64_t)samples[i] * hann + ((int64_t)1 << (29 - shift))) >> (30 - shift));
        if (i & 1) { /* counts with its bits in reverse */
            for (bit = @QUARTER@; to & bit; bit >>= 1) {
                to ^= bit;
            }
            to |= bit;
        }
    }
    for (half = 1; half < @HALF@; half *= 2) {
        for (j = 0; j < half; j++) {
            int32_t c = @P@_cos(j * (@HALF@ / half)), s = @P@_sin(j * (@HALF@ / half));
            for (i = j; i < @HALF@; i += 2 * half) {
                int32_t *a = bins + 2 * i, *b = a + 2 * half;
                int32_t real = @P@_turned(b[0], c, b[1], s), other = @P@_turned(b[1], c, b[0], -s);
                b[0] = a[0] - real;
                b[1] = a[1] - other;
                a[0] += real;
                a[1] += other;
            }
        }
    }
}

/* The energy of a bin of the samples, from those of the pairs. */
static uint64_t @P@_energy(uint32_t at)
{
    const int32_t *a = @P@_arena.frame.bins + 2 * at;
    const int32_t *b = @P@_arena.frame.bins + 2 * (@HALF@ - at);
    int32_t c = @P@_cos(at), s = @P@_sin(at);
    int64_t real = (a[0] + b[0]) + @P@_turned(a[1] + b[1], c, b[0] - a[0], s);
    int64_t other = (a[1] - b[1]) + @P@_turned(b[0] - a[0], c, a[1] + b[1], -s);
    return (uint64_t)(real * real + other * other) >> @DROPPED@;
}

/* The logarithm to base 2, in 2^-16. */
static int32_t @P@_octaves(uint64_t number)
{
    int32_t found = (int32_t)63 << 16, bit;
    uint32_t part;
    while (!(number >> 63)) {
        number <<= 1;
        found -= (int32_t)1 << 16;
    }
    part = (uint32_t)(number >> 32);
    for (bit = (int32_t)1 << 15; bit; bit >>= 1) {
        number = (uint64_t)part * part;
        if (number >> 63) {
            found += bit;
            part = (uint32_t)(number >> 32);
        } else {
            part = (uint32_t)(number >> 31);
        }
    }
    return found;
}

/* The features of a frame. */
static void @P@_hear(void)
{
    int16_t *samples = @P@_arena.frame.samples;
    uint32_t i, place, at, peak = 0, shift = 0;
    uint64_t rising = 0;
    for (i = 0; i < @WINDOW@; i++) {
        peak |= (uint32_t)(samples[i] < 0 ? -(int32_t)samples[i] : samples[i]);
    }
    while (shift < @MOST@ && !(peak >> (@TOP@ - shift))) {
        shift++;
    }
    if (peak) {
        @P@_transform(shift);
    }
    for (place = 0; place <= @BANDS@; place++) {
        uint32_t first = @P@_edges[place], last = @P@_edges[place + 1];
        uint64_t sum = rising + (@FLOOR@ >> (2 * (@MOST@ - shift)));
        rising = 0;
        for (at = first / @BIN@ + 1; at * @BIN@ < last; at++) {
            uint64_t energy = peak ? @P@_energy(at) : 0;
            uint32_t weight = (uint32_t)((@WIDE@)(at * @BIN@ - first) * @WHOLE@ / (last - first));
            rising += energy * weight;
            sum += energy * (@WHOLE@ - weight);
        }
        if (place) {
            @P@_put(@P@_octaves(sum) - (int32_t)((@UNITS@ + 2 * shift) << 16));
        }
    }
    for (i = @HOP@; i < @WINDOW@; i++) {
        samples[i - @HOP@] = samples[i];
    }
}

void @P@_begin(void)
{
    @P@_filled = 0;
    @P@_waiting = 0;
}

void @P@_feed(const int16_t *samples, uint32_t count)
{
    while (count-- && @P@_filled < @FEATURES@) {
        @P@_arena.frame.samples[@P@_waiting++] = *samples++;
        if (@P@_waiting == @WINDOW@) {
            @P@_hear();
            @P@_waiting -= @HOP@;
        }
    }
}
"""
FINISH = """\
    int16_t silence = 0;
    while (@P@_filled < @FEATURES@) {
        @P@_feed(&silence, 1);
    }
"""
