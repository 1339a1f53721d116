"""A program that feeds raw inputs to the C of an input chain, as a microphone would: in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.plain_c.c_text import filled
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.firmware import Program

PIECE = 64
"""Elements that are fed at a time; they are on the stack, and are counted as RAM."""
_TYPES = {"char": np.uint8, "int16_t": np.int16, "float": np.float32}


def longest(made: CFile) -> int:
    """The most elements of a raw input that count."""
    chain = _chain(made)
    first = chain.steps[0]
    if isinstance(first, LogMel):
        return first.samples
    if isinstance(first, HashedNgrams):
        return first.most + max(first.lengths)
    return made.network.buffers[made.network.inputs[0][1]].count


def fed_program(made: CFile, path: Path) -> Program:
    """The program of a C file with an input chain, which was written to a path.

    Its input is the number of elements, an uint32, and `longest(made)` elements; see `fed_inputs`.
    On a device they come in pieces, so RAM is counted without them. The function that feeds them
    is written beside the C file.
    """
    chain = made.emitted.chain
    assert chain is not None
    outputs = made.emitted.outputs
    text = filled(
        _FEEDER,
        P=made.name,
        RAW=chain.raw,
        PIECE=str(PIECE),
        DECLARED="" if made.header is not None else made.emitted.declarations,
        INCLUDED=f'#include "{made.name}.h"' if made.header is not None else "#include <stdint.h>",
        PARAMETERS=", ".join(f"{one.kind} *{one.name}" for one in outputs),
        ARGUMENTS=", ".join(one.name for one in outputs),
    )
    beside = path.with_name(f"{path.stem}_fed.c")
    beside.write_text(text, encoding="utf-8")
    size = 4 + longest(made) * np.dtype(_TYPES[chain.raw]).itemsize
    buffers = made.network.buffers
    return Program(
        sources=(path, beside),
        entry=f"{made.name}_fed",
        inputs=(size,),
        outputs=tuple(buffers[number].bytes for _, number in made.network.outputs),
        input_is_fed=True,
    )


def fed_inputs(made: CFile, raw: Sequence[np.ndarray | str]) -> np.ndarray:
    """Raw inputs as `fed_program` reads them: uint8, (inputs, bytes).

    `raw`: sounds (int16), texts, or arrays of numbers.
    """
    chain = made.emitted.chain
    assert chain is not None
    kind = np.dtype(_TYPES[chain.raw])
    most = longest(made)
    rows = np.zeros((len(raw), 4 + most * kind.itemsize), np.uint8)
    for row, one in zip(rows, raw, strict=True):
        data = (
            np.frombuffer(one.encode("utf-8", "replace"), np.uint8) if isinstance(one, str) else one
        )
        elements = np.ascontiguousarray(data).reshape(-1)[:most].astype(kind)
        row[:4] = np.frombuffer(np.uint32(len(elements)).tobytes(), np.uint8)
        row[4 : 4 + elements.nbytes] = elements.view(np.uint8)
    return rows


def noise(made: CFile) -> np.ndarray:
    """A raw input of the greatest length, for a measurement: random, the same each time."""
    chain, most = _chain(made), longest(made)
    drawn = np.random.default_rng(0)
    if isinstance(chain.steps[0], LogMel):
        return drawn.integers(-1000, 1001, most).astype(np.int16)
    if isinstance(chain.steps[0], HashedNgrams):
        return drawn.integers(97, 123, most).astype(np.uint8)
    return drawn.random(most, np.float32)


def _chain(made: CFile) -> InputChain:
    if made.emitted.chain is None:
        raise ValueError(f"{made.name} has no input chain: it takes its inputs whole")
    return made.emitted.chain.chain


_FEEDER = """\
@INCLUDED@
@DECLARED@
void @P@_fed(const uint32_t *input, @PARAMETERS@);

void @P@_fed(const uint32_t *input, @PARAMETERS@)
{
    const @RAW@ *elements = (const @RAW@ *)(const void *)(input + 1);
    uint32_t left = *input, size, i;
    @RAW@ piece[@PIECE@];
    @P@_begin();
    for (; left; left -= size) {
        size = left < @PIECE@ ? left : @PIECE@;
        for (i = 0; i < size; i++) {
            piece[i] = *elements++;
        }
        @P@_feed(piece, size);
    }
    @P@_finish(@ARGUMENTS@);
}
"""
