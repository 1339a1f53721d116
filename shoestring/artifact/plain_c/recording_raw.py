"""Raw inputs with what the file answers, for a test of the C that feeds them in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.log_mel import LogMel
from shoestring.artifact.format.file import Content
from shoestring.artifact.plain_c.c_text import array, filled
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.fed import PIECE, longest, noise
from shoestring.artifact.plain_c.recording import Recorded
from shoestring.artifact.runtime.loaded import Loaded

MOST = 3
"""How many raw inputs are recorded: a second of sound takes much room."""


def with_raw(
    content: Content,
    made: CFile,
    cases: Recorded,
    given: Sequence[np.ndarray | str] | None = None,
) -> Recorded:
    """The same cases, and what numpy's input chain and the file answer to raw inputs.

    `made`: with an input chain.
    `given`: sounds (int16), texts or arrays, of which the first three are used. None: noise of the
        greatest length, and a shorter input.
    Raises ValueError for raw inputs that the chain does not take.
    """
    chain = made.emitted.chain
    assert chain is not None
    raw = _drawn(made) if given is None else list(given[:MOST])
    if not raw:
        raise ValueError("there are no raw inputs to record: give one or more")
    loaded = Loaded(content, threads=1)
    port = content.graph.inputs[0]
    answers: list[tuple[np.ndarray, ...]] = []
    for one in raw:
        batch = np.asarray(one)[None] if chain.raw == "float" else [one]
        results = loaded.run({port.name: chain.chain(batch)})
        answers.append(tuple(np.asarray(results[out.name]) for out in content.graph.outputs))
    where = "noise: give real ones with --raw" if given is None else "the first that were given"
    return replace(
        cases,
        raw=tuple(_elements(made, one) for one in raw),
        raw_outputs=tuple(answers),
        about=f"{cases.about} Of raw inputs there are {len(raw)}: {where}.",
    )


def _drawn(made: CFile) -> list[np.ndarray | str]:
    """Raw inputs where none are given: the second is shorter, so that `finish` adds what lacks."""
    assert made.emitted.chain is not None
    first, long = made.emitted.chain.chain.steps[0], noise(made)
    if isinstance(first, LogMel):
        tone = 8000 * np.sin(np.arange(len(long) * 2 // 3) ** 2 * 2e-5)  # rises through the bands
        return [long, tone.astype(np.int16)]
    if isinstance(first, HashedNgrams):
        return [long.tobytes().decode("ascii"), "a shorter text"]
    shape = made.emitted.inputs[0].shape[1:]
    return [long.reshape(shape), -long.reshape(shape)]


def _elements(made: CFile, raw: np.ndarray | str) -> np.ndarray:
    """What is fed: no more than counts, and a few elements that are too many."""
    if isinstance(raw, str):
        elements = np.frombuffer(raw.encode("utf-8", "replace"), np.int8)
    else:
        elements = np.asarray(raw).reshape(-1)
    return elements[: longest(made) + PIECE]


def raw_cases(made: CFile, cases: Recorded) -> str:
    """The raw inputs and what is expected, as constants."""
    chain = made.emitted.chain
    assert chain is not None
    sizes = np.array([one.size for one in cases.raw])
    parts = [
        array(chain.raw, "raw", np.concatenate(cases.raw), ""),
        array("uint32_t", "raw_sizes", sizes, ""),
        array("uint32_t", "raw_starts", sizes.cumsum() - sizes, ""),
    ]
    for place, port in enumerate(made.emitted.outputs):
        numbers = np.concatenate([np.asarray(row[place]).reshape(-1) for row in cases.raw_outputs])
        parts.append(array(port.kind, f"raw_output_{place}", numbers, ""))
    return "\n".join(parts)


def raw_functions(made: CFile) -> str:
    """The C function that feeds a raw input in pieces, and compares."""
    chain, out = made.emitted.chain, made.emitted
    assert chain is not None
    first = len(out.inputs)
    checks = [
        f"    right &= !differs_{place}(a{first + place}, raw_output_{place} + at * {one.count}, "
        "0.05f);"
        if one.kind == "float"
        else f"    right &= !unequal_{place}(a{first + place}, raw_output_{place} + at * "
        f"{one.count});"
        for place, one in enumerate(out.outputs)
    ]
    return filled(
        _FED,
        NAME=made.name,
        RAW=chain.raw,
        PIECE=str(PIECE),
        ARGUMENTS=", ".join(f"a{first + place}" for place in range(len(out.outputs))),
        CHECKS="\n".join(checks),
    )


_FED = """\
/* Feeds a raw input in pieces, as a device gets it. Expected is what numpy's input chain and ONNX
   Runtime answer: features may be rounded in another way, so outputs are compared to within 5 % of
   the largest. */
static int fed_right(int at)
{
    const @RAW@ *from = raw + raw_starts[at];
    uint32_t left = raw_sizes[at], size;
    int right = 1;
    @NAME@_begin();
    for (; left; left -= size) {
        size = left < @PIECE@ ? left : @PIECE@;
        @NAME@_feed(from, size);
        from += size;
    }
    @NAME@_finish(@ARGUMENTS@);
@CHECKS@
    return right;
}
"""
RAW_LOOP = """\
    for (at = 0; at < @RAW@; at++) {
        int right = fed_right(at);
        wrong += !right;
        say(right ? "OK     raw input " : "WRONG  raw input ");
        say_number(at);
        say(", the largest output is number ");
        say_number(@LARGEST@);
        say("\\n");
    }
"""
