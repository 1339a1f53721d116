"""The commands for files: inspect, pack, unpack, export and run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shoestring.cli.ending import writing
from shoestring.cli.source import fixed_values, is_onnx, named

File = Annotated[Path, typer.Argument(help="a .shoe file", show_default=False)]
Entry = Annotated[
    str | None, typer.Option(help="which entry, of a file with several", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def inspect(file: File, as_json: AsJson = False) -> None:
    """The byte bill of a file: a line for each tensor and section, which add up to its size."""
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
    """Make a checkpoint smaller without losing a bit; `unpack` gives it back.

    An ONNX file is packed too, and runs as before.
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


def unpack(
    file: File,
    out: Annotated[
        Path | None,
        typer.Argument(help="left out: NAME.safetensors; .pt for PyTorch", show_default=False),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="memory that tensors may take", min=1, show_default=False)
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(help="work that decoding may be; left out: 1 s, and 1 s for each MB", min=0),
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
    data, what = write(packing.read(file, max_bytes, max_seconds))
    save(target, data)
    print(f"{target}: {len(data):,} bytes, {what}")


def export(
    file: File,
    onnx: Annotated[Path, typer.Argument(help="the ONNX file to write", show_default=False)],
    entry: Entry = None,
) -> None:
    """Write a file as plain ONNX, which any ONNX runtime takes.

    Of a file with several entries, NAME.ENTRY.onnx for each.
    """
    from shoestring.artifact import by_entry, read_model, save
    from shoestring.artifact.format.protobuf import onnx_bytes
    from shoestring.artifact.runtime.folding import fold_transposes

    contents = by_entry(read_model(file))
    if entry is not None:
        contents = {"": contents[named(file, entry, contents)]}
    targets = {
        name: onnx.with_suffix(f".{name}{onnx.suffix}") if name else onnx for name in contents
    }
    writing(*targets.values())
    for name, content in contents.items():
        data = onnx_bytes(*fold_transposes(content.graph, content.tensors))
        save(targets[name], data)
        print(f"{targets[name]}: {len(data):,} bytes")


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
    unnamed = [f"arr_{index}" for index in range(len(arrays))]  # numpy's names for unnamed arrays
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
