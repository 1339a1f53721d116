"""The commands for checkpoints: pack and unpack."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from shoestring.cli.ending import GOES_ON, writing
from shoestring.cli.source import fixed_values, is_onnx

_FILES = (".safetensors", ".pt", ".pth", ".bin", ".shoe")


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
    from shoestring.artifact.checkpoints.sharded import is_index

    if checkpoint.is_dir():
        raise IsADirectoryError(f"{checkpoint} is a folder: name a checkpoint, or an index, in it")
    target = out or checkpoint.with_suffix(".shoe")
    if not is_index(checkpoint):
        _check_result(target)
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
        _pack_each(checkpoint, out or checkpoint.parent, smallest=smallest)
        return
    writing(target)
    _pack(checkpoint, target, smallest=smallest)


def _check_result(target: Path) -> None:
    """Raises FileExistsError where packing would replace a file that is not a packed one."""
    if target.is_file() and target.stat().st_size:
        with target.open("rb") as file:
            if file.read(4) == b"SHOE":
                return
        raise FileExistsError(
            f"{target} is there already, and no .shoe file: name another file to write"
        )


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


def _pack_each(index: Path, folder: Path, *, smallest: bool) -> None:
    """Pack each file that an index names, and write an index of the results.

    Files that were packed from these bytes before are left, so an interrupted command goes on.
    """
    from shoestring.artifact import save
    from shoestring.artifact.checkpoints import sharded

    listed, files = sharded.read_index(index)
    targets = sharded.targets(files, folder, sharded.PACKED)
    result = folder / sharded.index_name(index, sharded.PACKED)
    folder.mkdir(parents=True, exist_ok=True)
    writing(*targets.values(), result, then=lambda: GOES_ON)
    for file, target in targets.items():
        if target.exists() and sharded.is_packed_from(target, file):
            print(f"{target} is there already, packed from this {file.name}: it stays")
        else:
            _pack(file, target, smallest=smallest)
        sharded.check_names(listed, file.name, target)
    save(result, sharded.packed_index(index))
    print(f"{result}: the index of {len(files)} files")


def _unpack_each(
    index: Path, out: Path | None, max_bytes: int | None, max_seconds: float | None
) -> None:
    """Unpack each file that an index names, and write an index of the results.

    `out`: the folder for them. Files in it that have the bytes of the original are left. None: the
        folder of the index, in which nothing is overwritten.
    """
    from shoestring.artifact import save
    from shoestring.artifact.checkpoints import sharded

    listed, files = sharded.read_index(index)
    folder = out or index.parent
    if out == Path("-") or folder.is_file() or folder.suffix in _FILES:
        raise ValueError(
            f"{out} is no folder: the files of an index go into a folder, and one file alone to a "
            "pipe"
        )
    targets = sharded.targets(files, folder, sharded.PLAIN)
    result = folder / sharded.index_name(index, sharded.PLAIN)
    for target in [*targets.values(), result]:
        if out is None and target.exists():
            raise FileExistsError(f"{target} is there already: name a folder to write to")
        _no_link(target)
    folder.mkdir(parents=True, exist_ok=True)
    named = f"the same command with the folder, {folder}, goes on from there"
    writing(*targets.values(), result, then=lambda: GOES_ON if out else named)
    for file, target in targets.items():
        if target.exists() and sharded.is_unpacked_to(file, target):
            print(f"{target} is there already, and the file that was packed: it stays")
        else:
            _unpack(file, target, max_bytes, max_seconds)
    save(result, sharded.plain_index(listed))
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
    from shoestring.artifact.checkpoints.sharded import is_index

    if is_index(file):
        _unpack_each(file, out, max_bytes, max_seconds)
        return
    target = out or file.with_suffix(".safetensors")
    if out is None and target.exists():
        raise FileExistsError(f"{target} is there already: name the file to write")
    if out is None:
        _no_link(target)
    if target != Path("-") and not target.is_fifo():
        writing(target)
    _unpack(file, target, max_bytes, max_seconds)


def _no_link(target: Path) -> None:
    """Raises FileExistsError where a name that a file chose leads elsewhere."""
    if target.is_symlink():
        raise FileExistsError(
            f"{target} is a symbolic link, and what it leads to would be written: remove it"
        )


@contextmanager
def _stream(target: Path) -> Iterator[BinaryIO]:
    """Where the result is written: standard output, a named pipe, or a file as a whole.

    Raises BrokenPipeError where nobody reads a pipe any more.
    """
    from shoestring.artifact.checkpoints.packing import seen, unchanged
    from shoestring.artifact.format.saving import replacing

    if target == Path("-"):
        if sys.stdout is None:
            raise OSError("standard output is closed: name a file to write")
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            with suppress(OSError, ValueError):  # what is left is not written at the end either
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise _closed("standard output") from None
    elif target.is_fifo():
        try:
            with target.open("wb", buffering=0) as pipe:
                yield pipe  # pyright: ignore[reportReturnType]
        except BrokenPipeError:
            raise _closed(str(target)) from None
    else:
        before = seen(target)
        with replacing(target, lambda: unchanged(target, before)) as stream:
            yield stream


def _closed(name: str) -> BrokenPipeError:
    return BrokenPipeError(  # without its number, of which typer would exit in silence
        f"{name} was closed by its reader before the end: the file is not whole there"
    )


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
