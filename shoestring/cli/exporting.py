"""The command that writes a file as something else: plain ONNX, or C for a microcontroller."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shoestring.cli.ending import writing
from shoestring.cli.files import Entry, File
from shoestring.cli.on_cores import UNMEASURED, cores_named, print_on_cores
from shoestring.cli.projects import Cases, Inputs, Project, Raw, TaskName, comparison, write_project
from shoestring.cli.source import named

if TYPE_CHECKING:
    from shoestring.artifact.format.file import Content
    from shoestring.artifact.plain_c.board.targets import Target
    from shoestring.artifact.plain_c.export import CFile
    from shoestring.artifact.plain_c.recording import Recorded
    from shoestring.artifact.plain_c.weight_source import WeightStorage


class Weights(Enum):
    """How C keeps weights that are few small integers."""

    DECODED = "decoded"
    PACKED = "packed"
    CODED = "coded"


Output = Annotated[
    Path, typer.Argument(help="the ONNX file to write, or a C file: NAME.c", show_default=False)
]
Kept = Annotated[
    Weights | None,
    typer.Option(
        help="C: how weights that are few small integers are kept: ready to use, in few bits, or "
        "entropy-coded \\[default: coded]",
        show_default=False,
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="C: measure flash, RAM and instructions of a run there, with each way to keep "
        "weights: cortex-m0plus, cortex-m3, cortex-m4f, cortex-m7, riscv32, avr or, for flash "
        "alone, host; several with commas",
        show_default=False,
    ),
]
Header = Annotated[bool, typer.Option("--header", help="C: write NAME.h too")]
Axes = Annotated[
    list[str] | None, typer.Option(help="C: fix an axis that varies: T=16", show_default=False)
]
KeepInputs = Annotated[
    bool, typer.Option("--keep-inputs", help="C: do not write over the caller's inputs")
]
IntegerInputs = Annotated[
    bool,
    typer.Option(
        "--integer-inputs", help="C: take inputs as bytes, on the grid of a quantised network"
    ),
]
NoInputChain = Annotated[
    bool,
    typer.Option(
        "--no-input-chain",
        help="C: without the file's input chain; the caller computes features",
    ),
]


def export(
    file: File,
    output: Output,
    entry: Entry = None,
    weights: Kept = None,
    header: Header = False,
    axis: Axes = None,
    keep_inputs: KeepInputs = False,
    integer_inputs: IntegerInputs = False,
    no_input_chain: NoInputChain = False,
    project: Project = None,
    inputs: Inputs = None,
    raw: Raw = None,
    task: TaskName = None,
    target: Targets = None,
) -> None:
    """Write a file as plain ONNX, which any ONNX runtime takes, or as C99 for a microcontroller.

    Of a file with several entries, NAME.ENTRY.onnx or NAME.ENTRY.c for each.
    """
    from shoestring import __version__
    from shoestring.artifact.plain_c.export import export_c, written_from

    given = {
        "--weights": weights,
        "--header": header,
        "--axis": axis,
        "--keep-inputs": keep_inputs,
        "--integer-inputs": integer_inputs,
        "--no-input-chain": no_input_chain,
        "--project": project,
        "--inputs": inputs,
        "--raw": raw,
        "--task": task,
        "--target": target,
    }
    _check_for_c(file, output, given)
    cases = Cases(inputs=inputs, raw=raw, task=task)
    cases.check(project, chain=not no_input_chain)
    cores, weights = cores_named(target or []), weights or Weights.CODED
    contents = _contents(file, entry, single=project is not None)
    if output.suffix.lower() != ".c":
        _write_onnx(contents, output)
        return
    make = partial(
        export_c,
        axes=_lengths(axis or []),
        reuse_inputs=not keep_inputs,
        integer_inputs=integer_inputs,
        header=header or project is not None,
        raw_inputs=not no_input_chain,
        heading=(written_from(file.read_bytes(), __version__),),
    )
    for name, path in _targets(contents, output).items():
        one = partial(make, contents[name], name=path.stem)
        if project is None:
            write = partial(_write_c, contents[name], target=path)
        else:
            write = partial(write_project, contents[name], folder=project, given=cases)
        _export_c(one, weights, write, cores)


def _contents(file: Path, entry: str | None, *, single: bool) -> Mapping[str, Content]:
    """The contents of each entry, or of the one that is named; `single`: there must be one."""
    from shoestring.artifact import by_entry, read_model

    contents = by_entry(read_model(file))
    if entry is not None:
        return {"": contents[named(file, entry, contents)]}
    if single and len(contents) > 1:
        raise ValueError(f"a project is for one entry: give --entry, of {', '.join(contents)}")
    return contents


def _export_c(
    make: Callable[..., CFile],
    chosen: Weights,
    write: Callable[[CFile], Recorded],
    cores: Sequence[Target],
) -> None:
    """Write the C of an entry, and say what it takes.

    `make`: makes the C of a `weights`. `write`: writes it, and returns inputs for it.
    """
    ways = {way.value: partial(make, weights=_storage(way)) for way in Weights}
    made = ways[chosen.value]()
    cases = write(made)
    _say(made)
    if cores:
        print_on_cores(cores, ways, chosen.value, cases)
    else:
        print(UNMEASURED)


def _check_ending(file: Path, target: Path) -> None:
    """Raises ValueError for a name that does not say what it is to be, or is the source's."""
    if target.exists() and target.samefile(file):
        raise ValueError(f"{target} is the file that is read: give another name to write to")
    if target.suffix.lower() not in (".c", ".onnx"):
        raise ValueError(
            f"{target}: its ending says what to write: .onnx for ONNX, .c for C, and "
            f"{target.suffix or 'no ending'} is neither"
        )


def _check_for_c(file: Path, target: Path, given: Mapping[str, object]) -> None:
    """Raises ValueError where options for C are given for another file, or its ending is none."""
    _check_ending(file, target)
    options = [option for option, value in given.items() if value]
    if options and target.suffix.lower() != ".c":
        raise ValueError(
            f"{', '.join(options)}: for C, whose file ends in .c, and {target} does not"
        )


def _targets(contents: Mapping[str, Content], target: Path) -> dict[str, Path]:
    return {
        name: target.with_suffix(f".{name}{target.suffix}") if name else target for name in contents
    }


def _write_onnx(contents: Mapping[str, Content], onnx: Path) -> None:
    """Write each graph as an ONNX file."""
    from shoestring.artifact import save
    from shoestring.artifact.format.protobuf import onnx_bytes
    from shoestring.artifact.runtime.folding import fold_transposes

    targets = _targets(contents, onnx)
    writing(*targets.values())
    for name, content in contents.items():
        data = onnx_bytes(*fold_transposes(content.graph, content.tensors))
        save(targets[name], data)
        print(f"{targets[name]}: {len(data):,} bytes")


def _lengths(axes: list[str]) -> dict[str, int]:
    """Lengths of axes from words such as `T=16`."""
    lengths: dict[str, int] = {}
    for word in axes:
        name, equals, length = word.rpartition("=")
        if not equals or not name or not length.isdecimal():
            raise ValueError(f"--axis {word}: write NAME=LENGTH, such as T=16")
        lengths[name] = int(length)
    return lengths


def _storage(weights: Weights) -> WeightStorage:
    from shoestring.artifact.plain_c.coded_weights import Coded
    from shoestring.artifact.plain_c.weight_source import Decoded, Packed

    return {
        Weights.DECODED: Decoded(),
        Weights.PACKED: Packed(),
        Weights.CODED: Coded(),
    }[weights]


def _write_c(content: Content, made: CFile, target: Path) -> Recorded:
    """Write the C file, and the header if there is one; returns inputs for it."""
    from shoestring.artifact import save
    from shoestring.artifact.plain_c.recording import recorded

    beside = target.with_name(f"{made.name}.h") if made.header is not None else None
    writing(target, beside)
    save(target, made.text.encode())
    print(f"{target}: {len(made.text):,} bytes of C")
    if beside is not None and made.header is not None:
        save(beside, made.header.encode())
        print(f"{beside}: {len(made.header):,} bytes")
    cases = recorded(content, made)
    print(f"Inputs are random. {comparison(made, cases)}")
    return cases


def _say(made: CFile) -> None:
    """Print what a reader should know of the C."""
    out = made.emitted
    sizes = sum(made.network.buffers[number].bytes for _, number in made.network.inputs)
    owner = "the network's input" if out.chain is not None else "the caller's inputs"
    arena = out.memory.arena_bytes
    if out.chain is not None:
        arena = max(arena, out.chain.frame_bytes)
        print(f"input chain: {out.chain.chain}")
    print(f"memory: {arena:,} bytes, and {sizes:,} of {owner}")
    if out.stream is not None:
        print(f"weights: {out.stream.about}")
    for sentence in made.said():
        print(sentence)
