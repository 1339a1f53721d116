"""Firmware: a C file compiled for a core, weighed as the linker reports it, and run there.

**Flash** is code, constants and the initial values of variables, with what the linker takes from
the libraries of C and of floating-point functions. It is the difference between the image of a
program that calls the network once and the image of the same program without it.

**RAM** is the difference in variables, which has the arrays of inputs and outputs in it, and the
deepest stack: the deeper one of the compiler's call graph, which knows no library functions, and of
what the emulator saw overwritten.

**Instructions** are counted by an emulator; they are no clock cycles. Only those of an AVR are
clock cycles, which its emulator has and the manual fixes; its stack is what was overwritten, with
about 20 bytes for the interrupt of the clock.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from shoestring.artifact.plain_c.board.targets import BOARD, Target, ToolError, target_named
from shoestring.artifact.plain_c.export import CFile
from shoestring.artifact.plain_c.layers import BYTES
from shoestring.artifact.plain_c.stack import deepest
from shoestring.artifact.scratch import scratch_folder

_SECONDS = 300  # that a compiler may take, or an emulator for each call
FLAGS = ("-Os", "-ffunction-sections", "-fdata-sections", "-fno-common")
"""How every program is compiled."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """C code with one function that runs a network once: its arguments are arrays.

    `sources`: its C files.
    `entry`: the name of the function.
    `inputs`, `outputs`: the bytes of each array, in the order of the arguments, inputs first.
    `include`: folders of headers.
    `flags`: more flags for the compiler.
    `objects`: object files and archives that were made for the target beforehand, and are linked as
        they are. No call graph of them is known: their stack is what a run overwrote.
    `input_is_fed`: whether a device has the input in pieces only: it is not counted as RAM.
    """

    sources: tuple[Path, ...]
    entry: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    include: tuple[Path, ...] = ()
    flags: tuple[str, ...] = ()
    objects: tuple[Path, ...] = ()
    input_is_fed: bool = False

    @property
    def input_bytes(self) -> int:
        """The bytes of an example: its inputs one after the other, each from a multiple of 8 on."""
        return places(self.inputs)[-1]

    @property
    def output_bytes(self) -> int:
        """The bytes of the outputs of an example, laid out likewise."""
        return places(self.outputs)[-1]

    def defines(self) -> list[str]:
        """What the programs of the board are told, as flags of a compiler."""
        arguments = [f"input + {place}" for place in places(self.inputs)[:-1]]
        arguments += [f"output + {place}" for place in places(self.outputs)[:-1]]
        return [
            f"-DRUN={self.entry}",
            f"-DARGUMENTS={','.join(arguments)}",
            f"-DINPUT_BYTES={self.input_bytes}",
            f"-DOUTPUT_BYTES={self.output_bytes}",
        ]


def places(sizes: Sequence[int]) -> list[int]:
    """Where arrays of these sizes lie, each from a multiple of 8 on, and where the last ends."""
    at, end = [], 0
    for size in sizes:
        at.append(-(-end // 8) * 8)
        end = at[-1] + size
    return [*at, end]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a program takes on a core; None where it was not measured. See the module.

    `flash`: bytes beyond an empty program; `image`: bytes of the whole image, startup code too.
    `ram_static`: bytes of variables, inputs and outputs.
    `ram_stack`: bytes of the deepest stack.
    `instructions`: of a run, the mean over all examples, emulated; on ARM to within 40 a run.
    `raw`: uint8, (examples, bytes of the outputs), or None without inputs.
    """

    flash: int
    image: int
    ram_static: int
    ram_stack: int | None = None
    instructions: float | None = None
    raw: np.ndarray | None = None

    @property
    def outputs(self) -> np.ndarray | None:
        """The outputs as float32, (examples, elements)."""
        return None if self.raw is None else self.raw.view(np.float32)

    @property
    def ram(self) -> int | None:
        """Variables and stack together; None where no stack was measured."""
        return None if self.ram_stack is None else self.ram_static + self.ram_stack


def program_of(file: Path) -> Program:
    """The program that `shoestring export` wrote: NAME_run, NAME_INPUT_SIZE and NAME_OUTPUT_SIZE.

    The sizes may be in a header beside it. Raises ValueError for another C file.
    """
    text, header = Path(file).read_text(encoding="utf-8"), Path(file).with_suffix(".h")
    if header.is_file() and f'#include "{header.name}"' in text:
        text = header.read_text(encoding="utf-8") + text
    sizes = {
        side: int(count) * BYTES[kind]
        for side, count, kind in re.findall(
            r"^#define \w+_(INPUT|OUTPUT)_SIZE (\d+) /\* (\w+),", text, re.MULTILINE
        )
        if kind in BYTES
    }
    entry = re.search(r"^void (\w+_run)\(", text, re.MULTILINE)
    if entry is None or len(sizes) != 2:
        raise ValueError(
            f"{file} is no file with one input and one output that shoestring export wrote: it has "
            "no NAME_run, or no NAME_INPUT_SIZE and NAME_OUTPUT_SIZE with their types"
        )
    return Program(
        sources=(Path(file),),
        entry=entry[1],
        inputs=(sizes["INPUT"],),
        outputs=(sizes["OUTPUT"],),
    )


def program_for(written: CFile, path: Path) -> Program:
    """The program of a C file that was just written to a path."""
    network = written.network
    inputs, outputs = (
        tuple(network.buffers[number].bytes for _, number in named)
        for named in (network.inputs, network.outputs)
    )
    return Program(sources=(path,), entry=f"{written.name}_run", inputs=inputs, outputs=outputs)


def measure(
    program: Program | Path, target: Target | str, inputs: np.ndarray | None = None
) -> Measured:
    """Compile a program for a target, weigh it, and run it on examples under emulation.

    `program`: a Program, or a C file that `shoestring export` wrote.
    `inputs`: examples along the first axis, in the type of the program's input; None to weigh only.

    Raises ToolError where a tool is missing or fails, and ValueError for inputs of another size.
    """
    if not isinstance(program, Program):
        program = program_of(program)
    core = target_named(target) if isinstance(target, str) else target
    if core.name == "host":
        return _on_host(program, core, inputs)
    _check_tools(core, inputs is not None)
    with scratch_folder() as folder:
        image = folder / "plain.elf"
        called = build(program, core, "main_plain.c", image)
        flash, ram = _sizes(core, image)
        empty_flash, empty_ram = _empty(core)
        fed = program.input_bytes if program.input_is_fed else 0
        weighed = Measured(flash=flash - empty_flash, image=flash, ram_static=ram - empty_ram - fed)
        if inputs is None:
            return weighed
        emulate = _emulate_linked if core.linked_inputs else _emulate
        outputs, ticks, stacks = emulate(program, core, folder, inputs)
    return replace(
        weighed,
        ram_stack=max(int(stacks.max()), called),
        instructions=float(ticks.mean()) * core.instructions_per_tick,
        raw=outputs,
    )


def build(program: Program | None, core: Target, main: str, image: Path) -> int:
    """Link a program with a main function of the board; returns the stack of its call graph.

    `program`: None for the main function alone.
    """
    folder = image.parent / f"{image.stem}-objects"
    folder.mkdir()
    defines: list[str] = []
    own: list[Path] = []
    made = () if program is None else program.objects
    if program is not None:
        defines = program.defines()
        flags = [*program.flags, *(f"-I{one}" for one in program.include)]
        flags += ["-fcallgraph-info=su"] if core.call_graphs else []
        for index, source in enumerate(program.sources):
            own.append(folder / f"{index}.o")
            _compile(core, source, own[-1], [core.standard, *FLAGS, *flags])
    others: list[Path] = []
    for source in (main, *(one for one in core.startup if one.endswith(".c"))):
        others.append(folder / f"{source}.o")
        _compile(
            core,
            BOARD / source,
            others[-1],
            ["-std=gnu99", *FLAGS, *defines, f"-Wa,-I{image.parent}"],
        )
    script = next(BOARD / one for one in core.startup if one.endswith(".ld"))
    _run(
        core,
        [
            *core.library,
            *core.link,
            "-Wl,--gc-sections",
            *(["-Wl,--defsym=large=1"] if main == "main_plain.c" else []),
            f"-T{script}" if core.link else str(script),
            *map(str, [*own, *others, *made]),  # archives come after what calls them
            "-lm",
            "-o",
            str(image),
        ],
    )
    if not own or program is None or not core.call_graphs:
        return 0
    graphs = [one.with_suffix(".ci").read_text(encoding="utf-8") for one in own]
    return deepest(graphs, program.entry)


def _compile(core: Target, source: Path, target: Path, flags: Sequence[str]) -> None:
    _run(core, [*core.library, *flags, "-c", str(source), "-o", str(target)])


def _run(core: Target, arguments: Sequence[str]) -> None:
    command = [core.compiler, *core.flags, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        raise ToolError(f"{core.compiler} failed for {core.name}:\n{done.stderr.strip()[-2000:]}")


def _check_tools(core: Target, emulated: bool) -> None:
    problem = core.missing_compiler() or (core.missing_emulator() if emulated else None)
    if problem is not None:
        raise ToolError(problem)


def _sizes(core: Target, image: Path) -> tuple[int, int]:
    """The bytes of an image in flash and in RAM, without stack."""
    tool = "size" if core.name == "host" else core.compiler.replace("gcc", "size")
    done = subprocess.run([tool, str(image)], capture_output=True, text=True, check=True)
    text, data, bss = (int(number) for number in done.stdout.splitlines()[1].split()[:3])
    return text + data, data + bss


@lru_cache
def _empty(core: Target) -> tuple[int, int]:
    """The sizes of the program without a network."""
    with scratch_folder() as folder:
        build(None, core, "main_plain.c", folder / "empty.elf")
        return _sizes(core, folder / "empty.elf")


def _emulate(
    program: Program, core: Target, folder: Path, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(outputs, ticks, bytes of stack) of a run of each example."""
    build(program, core, core.measured, folder / "measured.elf")
    (folder / "inputs.bin").write_bytes(_examples(program, inputs))
    command = [
        *core.emulator,
        *("-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0"),
        *("-semihosting-config", "enable=on,target=native", "-kernel", "measured.elf"),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(_too_long(core)) from error
    notes = folder / "notes.bin"
    counts = np.fromfile(notes, "<u4").reshape(-1, 2) if notes.exists() else np.empty((0, 2), "u4")
    if done.returncode or len(counts) != len(inputs):
        raise ToolError(
            f"the program stopped on an emulated {core.name} after {len(counts)} of {len(inputs)} "
            f"examples: {done.stderr.strip()[-500:] or f'exit status {done.returncode}'}"
        )
    outputs = np.fromfile(folder / "outputs.bin", np.uint8).reshape(len(inputs), -1)
    return outputs, counts[:, 0], counts[:, 1]


def _emulate_linked(
    program: Program, core: Target, folder: Path, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same on a core that reads no files: examples are linked in, as many as have room."""
    examples = np.frombuffer(_examples(program, inputs), np.uint8).reshape(len(inputs), -1)
    at_once = max(core.linked_inputs // program.input_bytes, 1)
    data, size = b"", program.output_bytes + 8
    for first in range(0, len(examples), at_once):
        now = folder / str(first)
        now.mkdir()
        (now / "inputs.bin").write_bytes(examples[first : first + at_once].tobytes())
        build(program, core, core.measured, now / "measured.elf")
        try:
            done = subprocess.run(
                [*core.emulator, str(now / "measured.elf")],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
                errors="replace",
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(_too_long(core)) from error
        data += bytes.fromhex("".join(re.findall("@([0-9a-f]+)", done.stdout + done.stderr)))
        if len(data) < size * min(first + at_once, len(examples)):
            raise ToolError(
                f"the program stopped on an emulated {core.name} after {len(data) // size} of "
                f"{len(examples)} examples: {done.stderr.strip()[-500:]}"
            )
    found = np.frombuffer(data, np.uint8).reshape(len(examples), size)
    notes = np.ascontiguousarray(found[:, -8:]).view("<u4")
    return np.ascontiguousarray(found[:, :-8]), notes[:, 0], notes[:, 1]


def _too_long(core: Target) -> str:
    return (
        f"the program did not end on an emulated {core.name} in {_SECONDS} seconds: give it fewer "
        "examples"
    )


def _examples(program: Program, inputs: np.ndarray) -> bytes:
    """The bytes of the examples, one after the other."""
    array = np.ascontiguousarray(inputs)
    if not len(array) or array.nbytes != len(array) * program.input_bytes:
        raise ValueError(
            f"{len(array)} examples of {array.dtype} and shape {array.shape[1:]} take "
            f"{array.nbytes:,} bytes, and {program.entry} reads {program.input_bytes:,} for each"
        )
    return array.tobytes()


def _on_host(program: Program, core: Target, inputs: np.ndarray | None) -> Measured:
    """The outputs and the code size on this computer; nothing is emulated, no stack is measured."""
    problem = core.missing_compiler()
    if problem is not None:
        raise ToolError(problem)
    with scratch_folder() as folder:
        flash = ram = 0
        objects: list[str] = []
        for index, source in enumerate(program.sources):
            objects.append(str(folder / f"{index}.o"))
            include = [f"-I{one}" for one in program.include]
            _compile(
                core, source, Path(objects[-1]), [core.standard, *FLAGS, *program.flags, *include]
            )
            sizes = _sizes(core, Path(objects[-1]))
            flash, ram = flash + sizes[0], ram + sizes[1]
        ram += program.input_bytes + program.output_bytes
        weighed = Measured(flash=flash, image=flash, ram_static=ram)
        if inputs is None:
            return weighed
        _run(
            core,
            [
                "-std=gnu99",
                *FLAGS,
                *program.defines(),
                str(BOARD / "main_host.c"),
                *objects,
                *map(str, program.objects),
                "-lm",
                "-o",
                str(folder / "a"),
            ],
        )
        done = subprocess.run(
            [str(folder / "a")], input=_examples(program, inputs), capture_output=True
        )
    if done.returncode:
        raise ToolError(f"the program failed on this computer: exit status {done.returncode}")
    outputs = np.frombuffer(done.stdout, np.uint8).reshape(len(inputs), -1)
    return replace(weighed, raw=outputs)
