"""The commands for checkpoints: pack and unpack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from shoestring.cli.ending import writing
from shoestring.cli.source import fixed_values, is_onnx


def pack(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="a .safetensors file, a .pt, .pth or .bin file, an .onnx file, or the "
            ".safetensors.index.json of several files",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(help="left out: NAME.shoe; of several files, a folder", show_default=False),
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
    from shoestring.artifact.checkpoints.sharded import PACKED, is_index

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
    if is_index(checkpoint):
        folder = out or checkpoint.parent
        _each(checkpoint, folder, PACKED, lambda one, to: _pack(one, to, smallest=smallest))
        return
    writing(target)
    _pack(checkpoint, target, smallest=smallest)


def _pack(checkpoint: Path, target: Path, *, smallest: bool) -> None:
    from shoestring.artifact.checkpoints import checkpoint as packing
    from shoestring.artifact.checkpoints.streaming import pack_checkpoint, steps
    from shoestring.artifact.progress import progress

    read = packing.from_safetensors
    if not packing.is_safetensors(checkpoint):
        from shoestring.kit.weights.checkpoint import from_torch as read
    print(f"packing {checkpoint}: {checkpoint.stat().st_size:,} bytes", flush=True)
    content = read(checkpoint)
    with progress(f"packing {checkpoint.name}", steps(content)) as advance:
        packed = pack_checkpoint(content, checkpoint, target, smallest=smallest, advance=advance)
    print(packed.as_text())


def _each(index: Path, folder: Path, suffix: str, convert: Callable[[Path, Path], None]) -> None:
    """Convert each file that an index names, and write an index of the results.

    Files whose result is there and newer are not converted again, so an interrupted command goes
    on.
    """
    from shoestring.artifact import save
    from shoestring.artifact.checkpoints.sharded import index_name, read_index, renamed
    from shoestring.cli.ending import GOES_ON

    listed, files = read_index(index)
    folder.mkdir(parents=True, exist_ok=True)
    targets = {file: folder / Path(file.name).with_suffix(suffix) for file in files}
    result = folder / index_name(index, suffix)
    writing(*targets.values(), result, then=lambda: GOES_ON)
    for file, target in targets.items():
        if target.exists() and target.stat().st_mtime_ns > file.stat().st_mtime_ns:
            print(f"{target} is there already, and newer than {file.name}: it stays")
            continue
        convert(file, target)
    save(result, renamed(listed, suffix))
    print(f"{result}: the index of {len(files)} files")


def unpack(
    file: Annotated[
        Path,
        typer.Argument(
            help="a packed checkpoint, or the .shoe.index.json of several", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            help="left out: NAME.safetensors; .pt for PyTorch; - for standard output; of several "
            "files, a folder",
            show_default=False,
        ),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="memory that tensors may take", min=1, show_default=False)
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="work that decoding may be, in seconds of the format's account (not of a clock); "
            "left out: 1 s, and 1 s for each MB",
            min=0,
        ),
    ] = None,
) -> None:
    """Give back the checkpoint that `pack` made smaller."""
    from shoestring.artifact.checkpoints.sharded import PLAIN, is_index

    if is_index(file):
        folder = out or file.parent
        _each(file, folder, PLAIN, lambda one, to: _unpack(one, to, max_bytes, max_seconds))
        return
    target = out or file.with_suffix(".safetensors")
    if out is None and target.exists():
        raise FileExistsError(f"{target} is there already: name the file to write")
    if target != Path("-") and not target.is_fifo():
        writing(target)
    _unpack(file, target, max_bytes, max_seconds)


@contextmanager
def _stream(target: Path) -> Iterator[BinaryIO]:
    """Where the result is written: standard output, a named pipe, or a file as a whole."""
    from shoestring.artifact.format.saving import replacing

    if target == Path("-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif target.is_fifo():
        with target.open("wb", buffering=0) as pipe:
            yield pipe  # pyright: ignore[reportReturnType]
    else:
        with replacing(target) as stream:
            yield stream


def _unpack(file: Path, target: Path, max_bytes: int | None, max_seconds: float | None) -> None:
    from shoestring.artifact import save
    from shoestring.artifact.checkpoints import checkpoint as packing
    from shoestring.artifact.checkpoints.opened import Opened
    from shoestring.artifact.checkpoints.streaming import unpack_safetensors
    from shoestring.artifact.progress import progress

    is_pipe = target == Path("-") or target.is_fifo()
    if not is_pipe and not packing.wants_safetensors(target):
        from shoestring.kit.weights.checkpoint import as_torch

        data, what = as_torch(packing.read(file, max_bytes, max_seconds))
        save(target, data)
        print(f"{target}: {len(data):,} bytes, {what}")
        return
    with (
        Opened(file, max_bytes=max_bytes, max_seconds=max_seconds) as opened,
        progress(f"unpacking {file.name}", opened.steps) as advance,
        _stream(target) as stream,
    ):
        size, what = unpack_safetensors(opened, stream, advance)
    print(
        f"{target}: {size:,} bytes, {what}",
        file=sys.stderr if target == Path("-") else sys.stdout,
    )
