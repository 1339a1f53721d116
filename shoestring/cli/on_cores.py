"""What C takes on microcontrollers, with each way to keep weights, as a table for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoestring.artifact.plain_c.board.targets import Target
    from shoestring.artifact.plain_c.export import CFile
    from shoestring.artifact.plain_c.firmware import Measured
    from shoestring.artifact.plain_c.recording import Recorded

UNMEASURED = "--target cortex-m3 would measure flash, RAM and instructions of a run."


def cores_named(names: Sequence[str]) -> list[Target]:
    """The targets of these names, each of which may be a list with commas.

    Raises ValueError for another name, and ToolError where a compiler or an emulator is missing.
    """
    from shoestring.artifact.plain_c.board.targets import ToolError, target_named

    words = [word for name in names for word in name.split(",")]
    cores = list({core.name: core for core in map(target_named, words)}.values())
    for core in cores:
        if problem := core.missing_compiler() or core.missing_emulator():
            raise ToolError(f"--target {core.name}: {problem}")
    return cores


def print_on_cores(
    cores: Sequence[Target],
    made: Mapping[str, Callable[[], CFile]],
    chosen: str,
    cases: Recorded,
) -> None:
    """Print a table for each core, with a line for each way to keep weights.

    RAM is static memory, inputs and outputs, and the stack.

    `made`: makes the C of each way. `chosen`: the way of the file that was written.
    `cases`: inputs; the first is run.
    """
    if not cores:
        return
    files = {way: make() for way, make in made.items()}
    fed = any(one.emitted.chain is not None for one in files.values())
    for core in cores:
        unit = "clock cycles" if core.name == "avr" else "instructions"
        print(f"on {core.name} ({core.about}), a run on {'noise' if fed else 'the first input'}:")
        ram = f"{'RAM, B':>9} = {'static':>8} + {'stack':>6}"
        print(f"  {'weights':<18} {'flash, B':>10} {ram} {unit:>15}")
        known: dict[str, Measured | str] = {}
        for way, file in files.items():
            if file.text not in known:  # where no weights are on a grid, the ways are the same
                known[file.text] = _measured(core, file, cases)
            print(_line(f"{way}{', written' if way == chosen else ''}", known[file.text]))


def _measured(core: Target, file: CFile, cases: Recorded) -> Measured | str:
    """What was measured, or why nothing was: the other ways may still have room."""
    from shoestring.artifact.plain_c.board.targets import ToolError
    from shoestring.artifact.plain_c.on_core import measured_on

    try:
        return measured_on(core, file, cases)
    except ToolError as error:
        return _reason(str(error))


def _reason(said: str) -> str:
    """The line of a tool's message that says why: the linker's own last line says nothing."""
    lines = [line for line in said.splitlines() if "ld returned" not in line]
    why = "overflowed|will not fit|not within region|error:"
    told = [one for one in lines if re.search(why, one)] or lines
    return re.sub(r"\S*/", "", told[0].strip())[:200]  # the folders are of this run


def _line(way: str, found: Measured | str) -> str:
    if isinstance(found, str):
        return f"  {way:<18} not measured: {found}"
    if found.ram is None or found.instructions is None:
        return f"  {way:<18} {found.flash:>10,} {'':>9}   {found.ram_static:>8,}"
    return (
        f"  {way:<18} {found.flash:>10,} {found.ram:>9,} = {found.ram_static:>8,} + "
        f"{found.ram_stack:>6,} {found.instructions:>15,.0f}"
    )
