"""C for the input chain of a file: raw inputs come in pieces, and features go to the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.artifact.chains.picture import Picture
from shoestring.artifact.chains.text_steps import TextStep
from shoestring.artifact.plain_c import log_mel_text, ngrams_text
from shoestring.artifact.plain_c.building import float_literal
from shoestring.artifact.plain_c.c_text import array, comment, filled
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Buffer

_LIMITS = {"int8_t": (-128, 127), "uint8_t": (0, 255)}


@dataclass(frozen=True, kw_only=True)
class ChainText:
    """The C of an input chain.

    `chain`: the chain. `raw`: the C type of a raw element.
    `before`: C that must stand before the arena: the struct of a frame, or "".
    `frame_bytes`: of that struct, which shares the arena's place.
    `text`: variables and functions, without `finish`. `finish`: the statements that end an input.
    `bytes`: of the network's input, which is a variable of the file.
    """

    chain: InputChain
    raw: str
    before: str
    frame_bytes: int
    text: str
    finish: str
    bytes: int


def chain_text(
    chain: InputChain, prefix: str, buffer: Buffer, grid: tuple[float, int] | None
) -> ChainText:
    """The C of a chain that makes the input in a buffer.

    `grid`: the scale and the zero of an input of integers of 8 bits; None: floats, or ids.
    Raises NoPlainC for channels on several axes.
    """
    first = chain.steps[0]
    if isinstance(first, TextStep | Picture):
        raise NoPlainC(
            f"the input chain begins with {type(first).__name__}, for which there is no C: export "
            "it without the chain (--no-input-chain)"
        )
    counters = ["filled"] if isinstance(first, Normalise) else ["filled", "waiting"]
    head = comment([f"The input chain: {chain}."])
    # Layers have wider numbers in it later, and bytes may begin anywhere.
    head += f"static union {{\n    {buffer.kind} at[{buffer.count}];\n    uint32_t aligned;\n"
    head += f"}} {prefix}_features;\n"
    head += "".join(f"static uint32_t {prefix}_{name};\n" for name in counters)
    before, frame_bytes = "", 0
    if isinstance(first, HashedNgrams):
        raw, finish = "char", ngrams_text.FINISH
        text = ngrams_text.functions(first, prefix)
    else:
        mean, std, channel = _affine(chain, buffer.shape)
        put = _put(prefix, mean, std, channel, buffer, grid, octaves=isinstance(first, LogMel))
        if isinstance(first, LogMel):
            raw, finish = "int16_t", log_mel_text.FINISH
            text = put + log_mel_text.functions(first, prefix)
            before, frame_bytes = (
                log_mel_text.struct(first, prefix),
                log_mel_text.struct_bytes(first),
            )
        else:
            raw, finish, text = (
                "float",
                _FINISH,
                put + filled(_FEED, P=prefix, FEATURES=str(buffer.count)),
            )
    return ChainText(
        chain=chain,
        raw=raw,
        before=before,
        frame_bytes=frame_bytes,
        text=f"{head}\n{text}",
        finish=filled(finish, P=prefix, FEATURES=str(buffer.count)),
        bytes=buffer.bytes,
    )


def _affine(chain: InputChain, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, str]:
    """(means, deviations, C for the channel of an element) of all normalisations together."""
    mean, std = np.zeros((1,) * len(shape)), np.ones((1,) * len(shape))
    for step in chain.steps:
        if isinstance(step, Normalise):
            its = [1] * len(shape)
            if len(step.mean) > 1:
                its[step.axis] = len(step.mean)
            mean = mean + std * np.reshape(step.mean, its)
            std = std * np.reshape(step.std, its)
    axes = [axis for axis, length in enumerate(std.shape) if length > 1]
    if len(axes) > 1:
        raise NoPlainC("the input chain has channels on several axes: there is C for one")
    if not axes:
        return mean.reshape(-1), std.reshape(-1), "0"
    inner = math.prod(shape[axes[0] + 1 :])
    place = f"@P@_filled / {inner}" if inner > 1 else "@P@_filled"
    return mean.reshape(-1), std.reshape(-1), f"{place} % {shape[axes[0]]}"


def _put(
    prefix: str,
    mean: np.ndarray,
    std: np.ndarray,
    channel: str,
    buffer: Buffer,
    grid: tuple[float, int] | None,
    *,
    octaves: bool,
) -> str:
    """`PREFIX_put`, which normalises a number, rounds it where it goes on a grid, and writes it.

    `octaves`: whether it gets logarithms to base 2 in 2^-16, in place of floats.
    """
    unit = math.log(2) / 65536 if octaves else 1.0
    step = std if grid is None else std * np.float64(np.float32(grid[0]))
    means, factors = np.atleast_1d(mean / unit), np.atleast_1d(unit / step)
    several = len(means) > 1
    at = filled(channel, P=prefix)
    kind = buffer.kind
    shift = 0
    if grid is not None and octaves:
        shift = min(40, 29 - math.ceil(math.log2(factors.max())))
        factors = np.rint(factors * 2.0**shift)
    if octaves and np.abs(means).max() >= 2**30:
        raise NoPlainC("a mean of the input chain is beyond all logarithms of energies")
    mean_kind = "int32_t" if octaves else "float"
    factor_kind = "int32_t" if shift else "float"
    tables = ""
    if several:
        tables = array(mean_kind, f"{prefix}_means", np.rint(means) if octaves else means)
        tables += array(factor_kind, f"{prefix}_factors", factors)
        own_mean, own_factor = f"{prefix}_means[channel]", f"{prefix}_factors[channel]"
    else:
        own_mean = str(int(np.rint(means[0]))) if octaves else float_literal(means[0])
        own_factor = str(int(factors[0])) if shift else float_literal(factors[0])
    template = _PUT_ROUNDED if shift else _PUT_FLOAT if grid is None else _PUT_NEAREST
    least, most = _LIMITS.get(kind, (0, 0))
    return tables + filled(
        template,
        P=prefix,
        KIND=mean_kind,
        CHANNEL=f"    uint32_t channel = {at};\n" if several else "",
        MEAN=own_mean if not own_mean.startswith("-") else f"({own_mean})",
        FACTOR=own_factor,
        SHIFT=str(shift),
        ZERO=str(grid[1]) if grid is not None else "",
        LEAST=str(least),
        MOST=str(most),
        TYPE=kind,
    )


_PUT_FLOAT = """\
/* Normalises the next feature. */
static void @P@_put(@KIND@ number)
{
@CHANNEL@    @P@_features.at[@P@_filled++] = (float)(number - @MEAN@) * @FACTOR@;
}

"""
_PUT_ROUNDED = """\
/* Normalises the next feature and puts it on the grid of the network's input. */
static void @P@_put(@KIND@ number)
{
@CHANNEL@    int64_t step = (int64_t)(number - @MEAN@) * @FACTOR@;
    step = ((step + ((int64_t)1 << (@SHIFT@ - 1))) >> @SHIFT@) + @ZERO@;
    step = step < @LEAST@ ? @LEAST@ : step > @MOST@ ? @MOST@ : step;
    @P@_features.at[@P@_filled++] = (@TYPE@)step;
}

"""
_PUT_NEAREST = """\
/* Normalises the next feature and puts it on the grid of the network's input. */
static void @P@_put(@KIND@ number)
{
@CHANNEL@    float step = (number - @MEAN@) * @FACTOR@ + @ZERO@;
    step = step > @LEAST@ ? step : @LEAST@;
    step = step < @MOST@ ? step : @MOST@;
    @P@_features.at[@P@_filled++] = (@TYPE@)(step + (step < 0 ? -0.5f : 0.5f));
}

"""
_FEED = """\
void @P@_begin(void) { @P@_filled = 0; }

void @P@_feed(const float *numbers, uint32_t count)
{
    while (count-- && @P@_filled < @FEATURES@) {
        @P@_put(*numbers++);
    }
}
"""
_FINISH = """\
    while (@P@_filled < @FEATURES@) {
        @P@_put(0.0f);
    }
"""
