"""Pictures from files and folders, for files whose input chain takes them."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.artifact.chains.likeliest import likeliest
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.cli.files import plainly
from shoestring.label.formats.content import PICTURES

_MOST, _NUMBERS = 64, 1 << 24
"""Pictures that are run at a time: so many, and so many numbers of them, or one."""


def picture_results(
    loaded: Loaded, paths: Iterable[Path]
) -> tuple[dict[str, np.ndarray], list[tuple[Path, tuple[str, float]]]]:
    """The outputs of a file by name, given pictures; and the class of each, with its probability.

    The second is empty where the file names no classes.

    `paths`: of pictures, and of folders, whose pictures come in the order of their names.
    What does not open is left out, and a line each says so. Raises ValueError where nothing
    opens and for a folder without a picture, and FileNotFoundError.
    """
    chain = loaded.input_chain
    assert chain is not None
    port = loaded.inputs[chain.input]
    files, parts = list[Path](), list[dict[str, np.ndarray]]()
    for opened, numbers in _opened(chain, [file for path in paths for file in _pictures(path)]):
        files += opened
        parts.append(loaded.run({port.name: numbers}))
    results = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    first = next(iter(results.values()))
    if first.shape != (len(files), len(chain.labels)):
        return results, []
    return results, list(zip(files, likeliest(first, chain.labels), strict=True))


def _opened(
    chain: InputChain, files: Sequence[Path]
) -> Iterator[tuple[Sequence[Path], np.ndarray]]:
    """Pictures and their numbers, so many at a time; a line tells what does not open.

    Raises ValueError where nothing opens.
    """
    size = max(1, min(_MOST, _NUMBERS // math.prod(chain.shape or (1,))))
    skipped: list[Exception] = []
    for begin in range(0, len(files), size):
        part, numbers = list[Path](), list[np.ndarray]()
        for file in files[begin : begin + size]:
            try:
                numbers.append(chain([file]))
                part.append(file)
            except (ValueError, FileNotFoundError) as error:
                skipped.append(error)
        if part:
            yield part, numbers[0] if len(numbers) == 1 else np.concatenate(numbers)
    if len(skipped) == len(files):
        raise skipped[0]
    for error in skipped:
        print(f"skipped: {plainly(str(error))}", file=sys.stderr)
    if skipped:
        print(
            f"{len(skipped):,} of {len(files):,} pictures are skipped, and the outputs have no "
            "rows for them",
            file=sys.stderr,
        )


def _pictures(path: Path) -> Iterator[Path]:
    """A picture, or those in a folder and its folders."""
    if not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(f"there is no picture {path}")
        yield path
        return
    found = sorted(
        one for one in path.rglob("*") if one.suffix.lower() in PICTURES and one.is_file()
    )
    if not found:
        raise ValueError(
            f"the folder {path} has no picture ({', '.join(sorted(PICTURES))}): name another one"
        )
    yield from found
