"""The command line: parses, calls, prints; nothing else."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated

import typer

from shoestring import __version__
from shoestring.artifact.errors import missing
from shoestring.cli.devices import agent, platforms
from shoestring.cli.ending import (
    BEGINS_AGAIN,
    INTERRUPTED,
    asked_to_end,
    ending_on_signals,
    if_interrupted,
    interruption,
    writing,
)
from shoestring.cli.layers import sensitivity
from shoestring.cli.recipes import recipe, recipes
from shoestring.cli.search import compress, forecast, frontier
from shoestring.cli.source import Inputs, SameOption, fixed_values, is_onnx, named, task_of

OF_TRAIN = ("torch", "onnx", "onnxscript")  # whatever else is missing says so itself

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Deep learning on a shoestring: a PyTorch model and a budget in, a small file that runs "
    "out.",
)
File = Annotated[Path, typer.Argument(help="a .shoe file", show_default=False)]
Entry = Annotated[
    str | None, typer.Option(help="which entry, of a file with several", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="print the version and stop")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


app.command()(compress)
app.command()(forecast)
app.command()(frontier)
app.command()(sensitivity)


@app.command()
def inspect(file: File, as_json: AsJson = False) -> None:
    """The byte bill of a file: a line per tensor and section, adding up to its size."""
    from shoestring.artifact import bill
    from shoestring.artifact.checkpoints.checkpoint import room
    from shoestring.artifact.format.names import names_beside
    from shoestring.artifact.format.saving import check_file

    check_file(file)
    data = file.read_bytes()
    lines = bill(data, names_beside(file, data), max_bytes=room(len(data)))
    if as_json:
        print(
            json.dumps(
                [{"name": line.name, "bytes": line.bytes, "about": line.about} for line in lines]
            )
        )
        return
    for line in lines:
        print(f"{line.bytes:>12,}  {line.name:<24} {line.about}")
    print(f"{len(data):>12,}  the whole file")


@app.command()
def pack(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="a .safetensors file, a .pt, .pth or .bin file, or an .onnx file",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Argument(help="left out: NAME.shoe", show_default=False)
    ] = None,
    smallest: Annotated[
        bool, typer.Option("--smallest", help="also try codings that are slow to unpack")
    ] = False,
    fix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="of ONNX: an input, or an axis, that is always this; several times",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make any checkpoint smaller without losing a bit of it, `unpack` gives it back.

    Or an ONNX file, which then runs as it did.
    """
    from shoestring.artifact.checkpoints import checkpoint as packing

    target = out or checkpoint.with_suffix(".shoe")
    if is_onnx(checkpoint):
        from shoestring.kit.importing.onnx_pack import pack_onnx

        writing(target)
        print(f"packing {checkpoint}: {checkpoint.stat().st_size:,} bytes", flush=True)
        print(
            pack_onnx(
                checkpoint, target, fixed=fixed_values(fix or []), smallest=smallest
            ).as_text()
        )
        return
    if fix:
        raise ValueError("--fix is for the inputs of an ONNX file")
    read = packing.from_safetensors
    if not packing.is_safetensors(checkpoint):
        from shoestring.kit.weights.checkpoint import from_torch as read
    writing(target)
    print(f"packing {checkpoint}: {checkpoint.stat().st_size:,} bytes", flush=True)
    print(
        packing.pack_checkpoint(read(checkpoint), checkpoint, target, smallest=smallest).as_text()
    )


@app.command()
def unpack(
    file: File,
    out: Annotated[
        Path | None,
        typer.Argument(help="left out: NAME.safetensors; .pt for PyTorch", show_default=False),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="memory that tensors may take", min=1, show_default=False)
    ] = None,
) -> None:
    """Give back the checkpoint that `pack` made smaller."""
    from shoestring.artifact import save
    from shoestring.artifact.checkpoints import checkpoint as packing

    target = out or file.with_suffix(".safetensors")
    if out is None and target.exists():
        raise FileExistsError(f"{target} is there already: name the file to write")
    writing(target)
    write = packing.as_safetensors
    if not packing.wants_safetensors(target):
        from shoestring.kit.weights.checkpoint import as_torch as write
    data, what = write(packing.read(file, max_bytes))
    save(target, data)
    print(f"{target}: {len(data):,} bytes, {what}")


@app.command()
def export(
    file: File,
    onnx: Annotated[Path, typer.Argument(help="the ONNX file to write", show_default=False)],
    entry: Entry = None,
) -> None:
    """Write a file as plain ONNX, which any ONNX runtime takes.

    Of a file with several entries, NAME.ENTRY.onnx for each.
    """
    from shoestring.artifact import by_entry, read_model, save
    from shoestring.artifact.format.protobuf import onnx_bytes as as_onnx
    from shoestring.artifact.runtime.folding import fold_transposes

    contents = by_entry(read_model(file))
    if entry is not None:
        contents = {"": contents[named(file, entry, contents)]}
    targets = {
        name: onnx.with_suffix(f".{name}{onnx.suffix}") if name else onnx for name in contents
    }
    for target in targets.values():
        writing(target)
    for name, one in contents.items():
        data = as_onnx(*fold_transposes(one.graph, one.tensors))
        save(targets[name], data)
        print(f"{targets[name]}: {len(data):,} bytes")


@app.command()
def run(
    file: File,
    inputs: Annotated[
        Path, typer.Argument(help="an .npz file with an array per input", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="an .npz file for the outputs [default: print them]", show_default=False),
    ] = None,
    entry: Entry = None,
) -> None:
    """Run a file on arrays."""
    import io

    import numpy as np

    from shoestring.artifact import load, save

    writing(out)
    loaded = load(file)
    if entry is not None or loaded.entries:
        loaded = loaded[named(file, entry, loaded.entries)]
    try:
        with np.load(inputs, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, AttributeError, TypeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{inputs} is not an .npz file of plain arrays: write one with numpy.savez('in.npz', "
            f"{', '.join(f'{port.name}=...' for port in loaded.inputs)}), of {loaded.signature()}"
        ) from None
    unnamed = [
        f"arr_{place}" for place in range(len(arrays))
    ]  # as savez calls what is given without a name
    if len(arrays) == len(loaded.inputs) and (
        len(arrays) == 1 or sorted(arrays) == sorted(unnamed)
    ):
        given = arrays.values() if len(arrays) == 1 else (arrays[name] for name in unnamed)
        arrays = {port.name: value for port, value in zip(loaded.inputs, given, strict=True)}
    results = loaded.run(arrays)
    if out is None:
        for name, value in results.items():
            print(f"{name}: {value.dtype.name}{list(value.shape)}\n{value}")
    else:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **results)
        save(out, buffer.getvalue())
        print(
            f"{out}: "
            + ", ".join(f"{n}: {v.dtype.name}{list(v.shape)}" for n, v in results.items())
        )


@app.command()
def score(
    file: File,
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="returns a task, (model, task), or with --inputs a model",
            show_default=False,
        ),
    ],
    inputs: Inputs = None,
    same: SameOption = None,
    ledger: Annotated[Path, typer.Option(help="where the score is recorded")] = Path(
        "shoestring.ledger"
    ),
    as_json: AsJson = False,
) -> None:
    """Score a file on a task's test data, and record that in the ledger."""
    from shoestring.artifact import read_model
    from shoestring.core import Ledger
    from shoestring.core.prove import proof

    read_model(file)  # a damaged one is told before the function trains anything
    if_interrupted(lambda: f"no score was recorded; {BEGINS_AGAIN}")
    found = proof(file, task_of(source, inputs, same), ledger=Ledger(ledger))
    if as_json:
        by_name = {"scores": dict(found.scores)} if found.scores else {}
        print(
            json.dumps(
                {"path": str(file), "score": found.score, "bytes": file.stat().st_size, **by_name}
            )
        )
        return
    print(
        "\n".join(
            [
                f"{found.score:.4f}",
                *(f"{name}: {value:.4f}" for name, value in found.scores.items()),
            ]
        )
    )


_SELDOM = ("labels", "person_seconds", "training_operations", "communicated_bytes")
"""What the table of a ledger has a column for where some row has an amount above 0."""


@app.command()
def ledger(
    path: Annotated[Path, typer.Argument(help="a ledger")] = Path("shoestring.ledger"),
    as_json: AsJson = False,
) -> None:
    """What was done, what it cost and what it brought; --json: a line of JSON per row."""
    from rich.console import Console
    from rich.table import Table

    from shoestring.core import Ledger
    from shoestring.core.technique import gist

    if not path.exists():
        raise FileNotFoundError(f"there is no ledger at {path}: compress and score write one")
    if as_json:
        for line in Ledger(path).json_lines():
            print(line)
        return
    rows = Ledger(path).rows()
    others = [one for one in _SELDOM if any(getattr(row.cost_after, one) for row in rows)]
    table = Table(
        "#",
        "step",
        "score before",
        "after",
        "bytes",
        "seconds",
        *(one.replace("_", " ") for one in others),
        "seed",
    )
    for row in rows:
        what = f"prove {row.file} {row.note}" if row.kind == "prove" else gist(row.technique)
        values = (row.score_before, row.score_after)
        named = (row.scores_before, row.scores_after)
        scores = [
            "\n".join(
                [
                    "" if v is None else f"{v:.4f}",
                    *(f"{name} {one:.4f}" for name, one in by_name.items()),
                ]
            )
            for v, by_name in zip(values, named, strict=True)
        ]
        size, seconds = row.cost_after.bytes, row.cost_after.seconds
        table.add_row(
            str(row.id),
            what,
            *scores,
            "" if size is None else f"{size:,}",
            "" if seconds is None else f"{seconds:.1f}",
            *(
                "" if (amount := getattr(row.cost_after, one)) is None else f"{amount:.5g}"
                for one in others
            ),
            "" if row.seed is None else str(row.seed),
        )
    Console().print(table)


app.command()(recipes)
app.command()(recipe)
app.command()(agent)
app.command()(platforms)


def _sentence(error: Exception) -> str:
    """The system's own errors in words; ours are in words already, and what is nobody's is named."""
    if (
        isinstance(error, OSError)
        and error.filename
        and error.strerror
        and error.strerror in str(error)
    ):
        return f"{error.filename}: {error.strerror.lower()}"
    if (
        isinstance(error, OSError) and error.errno is not None and error.strerror
    ):  # ours: a sentence, without its number
        return error.strerror
    if isinstance(error, ValueError | OSError | RuntimeError | ModuleNotFoundError | TypeError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def _where(error: Exception) -> str:
    """Where an error came up in code that is the user's own, and how to see all of it."""
    ours = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if ours not in f.filename]
    own = [
        f
        for f in frames
        if "site-packages" not in f.filename
        and not f.filename.startswith(("<", sys.prefix, sys.base_prefix))
    ]
    if not own:
        return ""
    return (
        f" ({own[-1].filename}:{own[-1].lineno}, in {own[-1].name}; SHOESTRING_TRACEBACK=1 "
        "shows all)"
    )


def main() -> None:
    """The program: errors that a user can mend are printed as one sentence, without a traceback."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        with ending_on_signals():
            app()
    except SystemExit as stop:
        if stop.code == INTERRUPTED and (said := interruption()):  # typer ends without a word
            print(said, file=sys.stderr)
        raise
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("SHOESTRING_TRACEBACK"):
            raise
        if asked_to_end.is_set() or isinstance(error, KeyboardInterrupt):
            print(interruption(), file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name in OF_TRAIN
            and "the extra" not in str(error)
        ):
            error = missing(*OF_TRAIN, extra="train").with_traceback(error.__traceback__)
        print(f"error: {_sentence(error)}{_where(error)}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
