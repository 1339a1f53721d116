"""Pictures from files and folders, for files whose input chain takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from shoestring.artifact.chains.likeliest import likeliest
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.label.formats.content import PICTURES

_PART = 64
"""Pictures that are run at a time."""


def picture_results(
    loaded: Loaded, paths: Iterable[Path]
) -> tuple[dict[str, np.ndarray], dict[Path, tuple[str, float]]]:
    """The outputs of a file by name, given pictures; and the class of each, with its probability.

    The second is empty where the file names no classes.

    `paths`: of pictures, and of folders, whose pictures come in the order of their names.
    Raises ValueError for what is no picture and for a folder without one, and FileNotFoundError.
    """
    chain = loaded.input_chain
    assert chain is not None
    files = [file for path in paths for file in _pictures(path)]
    port = loaded.inputs[chain.input]
    parts = [
        loaded.run({port.name: chain(files[begin : begin + _PART])})
        for begin in range(0, len(files), _PART)
    ]
    results = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    first = next(iter(results.values()))
    if first.shape != (len(files), len(chain.labels)):
        return results, {}
    return results, dict(zip(files, likeliest(first, chain.labels), strict=True))


def _pictures(path: Path) -> Iterator[Path]:
    """A picture, or those in a folder and its folders."""
    if not path.is_dir():
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
