"""Flash, RAM and instructions of a file as C on a microcontroller."""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact import Content, ShoeError, read_model
from shoestring.artifact.plain_c.board.targets import ToolError, target_named
from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.export import CFile, export_c
from shoestring.artifact.plain_c.fed import fed_inputs, fed_program, noise
from shoestring.artifact.plain_c.firmware import Measured, measure, places, program_for
from shoestring.artifact.plain_c.weight_source import WeightStorage
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file, feeds
from shoestring.meters.operations import UnmeasuredWarning

CORTEX_M3 = "cortex-m3"
_REMEMBERED = 64
_CODED = Coded()


@dataclass(frozen=True, kw_only=True)
class Flash:
    """`flash_bytes`: code and constants of the file's C code, as the linker reports them.

    The C file that `shoestring export` writes is compiled for a core, `-Os`. Counted is what it
    adds to an empty program, with the functions that it takes from the libraries of C and of
    floating-point numbers. The input chain of a file is in it. Nothing is run.

    `target`: the name of the core, as in `--target`.
    `weights`: how the C file keeps weights; Coded() is the smallest.

    A file that there is no C for stays unmeasured, and an UnmeasuredWarning names the operator.
    Raises ValueError for another target, FileNotFoundError for a path without a file, and ShoeError
    for a damaged file.
    """

    measures: ClassVar[str] = "flash_bytes"

    target: str = CORTEX_M3
    weights: WeightStorage = _CODED

    def __post_init__(self) -> None:
        target_named(self.target)

    def why_not(self) -> str | None:
        """Which package is missing; None where the target's compiler is installed."""
        return target_named(self.target).missing_compiler()

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        measured = _measured(self, subject, task)
        return Cost() if measured is None else Cost(flash_bytes=measured.flash)


@dataclass(frozen=True, kw_only=True)
class _Emulated:
    """What a meter needs that runs the C code."""

    target: str = CORTEX_M3
    weights: WeightStorage = _CODED

    def __post_init__(self) -> None:
        if not target_named(self.target).emulator:
            raise ValueError(
                f"{self.target} is not emulated, so neither RAM nor instructions are measured "
                "there: choose another target, or limit flash alone"
            )

    def why_not(self) -> str | None:
        """Which package is missing; None where compiler and emulator are installed."""
        core = target_named(self.target)
        return core.missing_compiler() or core.missing_emulator()


@dataclass(frozen=True, kw_only=True)
class Ram(_Emulated):
    """`ram_bytes`: variables, inputs, outputs and the deepest stack of the file's C code.

    The stack is the deeper one of the compiler's call graph and of a run on the task's example
    under emulation, where the stack was painted. A file with an input chain runs on noise, which
    comes in pieces and is not counted. Fields, warnings and errors are those of Flash.
    """

    measures: ClassVar[str] = "ram_bytes"

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        measured = _measured(self, subject, task)
        return Cost() if measured is None else Cost(ram_bytes=measured.ram)


@dataclass(frozen=True, kw_only=True)
class Instructions(_Emulated):
    """`instructions`: of a run of the file's C code on the task's example, under emulation.

    They are counted to within 40 on ARM. A real core needs one clock cycle or more for each: the
    figure compares files on one target, and is no time. On an AVR they are clock cycles. Fields,
    warnings and errors are those of Flash.
    """

    measures: ClassVar[str] = "instructions"

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        measured = _measured(self, subject, task)
        return Cost() if measured is None else Cost(instructions=measured.instructions)


_known: OrderedDict[tuple[Any, ...], Measured | str] = OrderedDict()
"""What was measured of the last files, or why nothing was."""


def _measured(
    meter: Flash | Ram | Instructions, subject: Any | Path, task: Task
) -> Measured | None:
    """The measurement that the meters share; None with a warning where there is none."""
    if meter.why_not():
        return None
    with as_file(subject, task) as path:
        data = path.read_bytes()
        content = read_model(path)
        if not isinstance(content, Content):
            return _unmeasured(f"{path.name} has several entries, and C has one function for one")
        inputs = feeds(content, task)
    run = not isinstance(meter, Flash)
    shapes = tuple((name, value.shape) for name, value in inputs.items())
    file = (hashlib.sha256(data).digest(), shapes, meter.target, meter.weights)
    key = (*file, run)
    if key not in _known and isinstance(more := _known.get((*file, True)), Measured):
        _known[key] = more
    if key not in _known:
        _known[key] = _made(content, inputs, meter, run)
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    found = _known[key]
    return _unmeasured(found) if isinstance(found, str) else found


def _unmeasured(why: str) -> None:
    warnings.warn(why, UnmeasuredWarning, stacklevel=4)


def _made(
    content: Content, inputs: dict[str, np.ndarray], meter: Flash | Ram | Instructions, run: bool
) -> Measured | str:
    """The measurement of a file, or why there is none."""
    axes = {
        axis: size
        for port in content.graph.inputs
        for axis, size in zip(port.shape, inputs[port.name].shape, strict=True)
        if isinstance(axis, str)
    }
    try:
        written = export_c(content, weights=meter.weights, axes=axes)
        with scratch_folder() as folder:
            (folder / "model.c").write_text(written.text, encoding="utf-8")
            if written.emitted.chain is not None:  # a device hears raw inputs, in pieces
                program = fed_program(written, folder / "model.c")
                example = fed_inputs(written, [noise(written)])
            else:
                program = program_for(written, folder / "model.c")
                example = _example(written, inputs, program.input_bytes)
            return measure(program, meter.target, example if run else None)
    except (ShoeError, ToolError, ValueError) as error:
        return f"on {meter.target}: {error}"


def _example(written: CFile, inputs: dict[str, np.ndarray], size: int) -> np.ndarray:
    """The inputs of a run as the bytes that the C code reads."""
    example = np.zeros((1, size), np.uint8)
    network = written.network
    buffers = [network.buffers[number] for _, number in network.inputs]
    starts = places([buffer.bytes for buffer in buffers])
    for (name, _), buffer, at in zip(network.inputs, buffers, starts[:-1], strict=True):
        kind = "float32" if buffer.kind == "float" else buffer.kind.removesuffix("_t")
        value = inputs[name].astype(kind).tobytes()
        example[0, at : at + len(value)] = np.frombuffer(value, np.uint8)
    return example
