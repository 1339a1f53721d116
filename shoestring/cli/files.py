"""The commands for files: inspect and run."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from shoestring.cli.ending import writing
from shoestring.cli.source import named

if TYPE_CHECKING:
    import numpy as np

    from shoestring.artifact.runtime.loaded import Loaded

File = Annotated[Path, typer.Argument(help="a .shoe file", show_default=False)]
Entry = Annotated[
    str | None, typer.Option(help="which entry, of a file with several", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
PicturesAsJson = Annotated[
    bool, typer.Option("--json", help="of pictures: print their classes and numbers as JSON")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="an .npz file for the outputs \\[default: print them; of pictures their classes]",
        show_default=False,
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw", help="INPUTS are raw: sounds (.wav, .npy or .npz), or a text file's lines"
    ),
]


def plainly(text: str) -> str:
    """A text of a file as one printable line: what would move the cursor is escaped."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= 200 else f"{line[:190]}... ({len(line):,} characters)"


def arrays_of(path: Path, how: str = "") -> dict[str, np.ndarray]:
    """The arrays of an .npz file, by name.

    `how`: what follows "write one with numpy.savez" where it is no such file.
    Raises ValueError for another file, and FileNotFoundError for none.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise
    except (ValueError, OSError, AttributeError, TypeError, zipfile.BadZipFile):
        raise ValueError(
            f"{path} is not an .npz file of plain arrays: write one with numpy.savez{how}"
        ) from None


def inspect(
    file: File,
    as_json: AsJson = False,
    max_bytes: Annotated[
        int | None, typer.Option(help="memory that tensors may take", min=1, show_default=False)
    ] = None,
) -> None:
    """The byte bill of a file: a line for each tensor and section, which add up to its size."""
    from shoestring.artifact import bill
    from shoestring.artifact.chains.input_chain import input_chain_of
    from shoestring.artifact.checkpoints.checkpoint import room
    from shoestring.artifact.format.describing import about_of
    from shoestring.artifact.format.names import names_beside
    from shoestring.artifact.format.saving import check_file

    check_file(file)
    data = file.read_bytes()
    most = room(len(data)) if max_bytes is None else max_bytes
    lines = bill(data, names_beside(file, data), max_bytes=most)
    if as_json:
        print(
            json.dumps(
                [{"name": line.name, "bytes": line.bytes, "about": line.about} for line in lines]
            )
        )
        return
    for line in lines:
        print(f"{line.bytes:>12,}  {plainly(line.name):<24} {line.about}")
    print(f"{len(data):>12,}  the whole file")
    if (chain := input_chain_of(about_of(data)[1])) is not None:
        print(f"input chain, in the names and notes: {chain}")


def run(
    file: File,
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="an .npz file with an array per input; or, where the file takes them, pictures "
            "and folders of pictures",
            show_default=False,
        ),
    ],
    out: Out = None,
    entry: Entry = None,
    raw: Raw = False,
    as_json: PicturesAsJson = False,
) -> None:
    """Run a file on arrays, on pictures, or on raw inputs that its input chain takes."""
    from shoestring.artifact import load

    writing(out)
    loaded = load(file)
    if entry is not None or loaded.entries:
        loaded = loaded[named(file, entry, loaded.entries)]
    chain = loaded.input_chain
    arrays_given = inputs[0].suffix.lower() == ".npz" and not inputs[0].is_dir()
    if chain is not None and chain.takes_pictures and (raw or not arrays_given):
        _give_pictures(loaded, inputs, out, as_json)
        return
    if as_json:
        raise ValueError(
            "--json is for pictures, of a file that takes them: without it the outputs are "
            "printed, and --out writes them"
        )
    if len(inputs) > 1:
        raise ValueError(
            f"{len(inputs)} inputs are given, and several are for files that take pictures: give "
            "one file of arrays, or of raw inputs with --raw"
        )
    if loaded.input_chain is not None:
        print(f"input chain: {loaded.input_chain}{'' if raw else ' (not used without --raw)'}")
    if raw:
        from shoestring.cli.raw_inputs import raw_results

        _give(raw_results(loaded, inputs[0]), out)
        return
    wanted = ", ".join(f"{port.name}=..." for port in loaded.inputs)
    arrays = arrays_of(inputs[0], f"('in.npz', {wanted}), of {loaded.signature()}")
    unnamed = [f"arr_{index}" for index in range(len(arrays))]  # numpy's names for unnamed arrays
    if len(arrays) == len(loaded.inputs) and (
        len(arrays) == 1 or sorted(arrays) == sorted(unnamed)
    ):
        given = arrays.values() if len(arrays) == 1 else (arrays[name] for name in unnamed)
        arrays = {port.name: value for port, value in zip(loaded.inputs, given, strict=True)}
    _give(loaded.run(arrays), out)


def _give_pictures(loaded: Loaded, paths: list[Path], out: Path | None, as_json: bool) -> None:
    """Print the class of each picture, or its numbers where the file names no classes."""
    from shoestring.cli.pictures import picture_results

    results, told = picture_results(loaded, paths)
    if as_json:
        rows = [{"picture": str(one), "class": name, "share": p} for one, (name, p) in told]
        outputs = {name: value.tolist() for name, value in results.items()}
        print(json.dumps({"answers": rows, "outputs": outputs}))
    else:
        for picture, (name, share) in told:
            print(f"{plainly(str(picture))}: {plainly(name)} ({100 * share:.1f} %)")
    if out is not None or not (told or as_json):
        _give(results, out, sys.stderr if as_json else sys.stdout)


def _give(results: Mapping[str, np.ndarray], out: Path | None, said: TextIO | None = None) -> None:
    """Print the outputs, or write them to a file, which is said on `said`."""
    import io

    import numpy as np

    from shoestring.artifact import save

    if out is None:
        for name, value in results.items():
            print(f"{name}: {value.dtype.name}{list(value.shape)}\n{value}")
    else:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **results)
        save(out, buffer.getvalue())
        print(
            f"{out}: "
            + ", ".join(f"{n}: {v.dtype.name}{list(v.shape)}" for n, v in results.items()),
            file=said,
        )
