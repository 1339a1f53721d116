"""What a C file takes on a core: compiled, weighed and run on one example there."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.plain_c.board.targets import Target
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.fed import fed_inputs, fed_program, noise
from shoestring.artifact.plain_c.firmware import Measured, Program, measure, places, program_for
from shoestring.artifact.plain_c.recording import NUMBERS, Recorded
from shoestring.artifact.scratch import scratch_folder


def measured_on(core: Target, made: CFile, cases: Recorded) -> Measured:
    """Flash, RAM and instructions of a run; on a core that is not emulated, flash alone is exact.

    A C file with an input chain is fed with noise of the greatest length, in pieces, and another
    gets the first of the recorded inputs.
    Raises ToolError where a tool is missing or fails, or the program has no room on the core.
    """
    with scratch_folder() as folder:
        path = folder / f"{made.name}.c"
        path.write_text(made.text, encoding="utf-8")
        if made.header is not None:
            path.with_suffix(".h").write_text(made.header, encoding="utf-8")
        if made.emitted.chain is not None:
            return measure(fed_program(made, path), core, fed_inputs(made, [noise(made)]))
        program = program_for(made, path)
        return measure(program, core, as_bytes(made, program, cases, 1))


def as_bytes(made: CFile, program: Program, cases: Recorded, count: int) -> np.ndarray:
    """The first recorded inputs as a program reads them: uint8, (count, bytes of an input)."""
    examples = np.zeros((count, program.input_bytes), np.uint8)
    for row, arrays in zip(examples, cases.inputs, strict=False):
        for at, array, port in zip(
            places(program.inputs), arrays, made.emitted.inputs, strict=False
        ):
            data = np.ascontiguousarray(array, NUMBERS[port.kind]).view(np.uint8).reshape(-1)
            row[at : at + data.size] = data
    return examples
