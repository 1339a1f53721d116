"""Checkpoints in several files with an index, as large models have them.

The index is a JSON object. Its "weight_map" has the file of each tensor, in the folder of the
index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoestring.artifact.checkpoints.opened import Opened
from shoestring.artifact.format.saving import check_file

SUFFIX = ".index.json"
PLAIN, PACKED = ".safetensors", ".shoe"


def is_index(path: Path) -> bool:
    """Whether a path is called like the index of a checkpoint in several files."""
    return path.name.endswith(SUFFIX)


def read_index(path: Path) -> tuple[dict[str, Any], list[Path]]:
    """(the index, the files that it names, each once and in order).

    Raises ValueError for an index that is damaged, names a file outside its folder, or names one
    that is not there.
    """
    check_file(path)
    try:
        index = json.loads(path.read_text("utf-8"))
        names = list(dict.fromkeys(index["weight_map"].values()))
        files = [path.parent / name for name in names]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f'{path} is no index of a checkpoint, with a "weight_map": {error}'
        ) from None
    for name, file in zip(names, files, strict=True):
        if Path(name).name != name:
            raise ValueError(f"{path} names {name!r}, which is not in its folder")
        if not file.is_file():
            raise ValueError(f"{path} names {name!r}, which is not there: fetch it")
    return index, files


def renamed(index: Mapping[str, Any], suffix: str) -> bytes:
    """The index with another suffix on the names of all files."""
    files = {key: Path(name).with_suffix(suffix).name for key, name in index["weight_map"].items()}
    return json.dumps({**index, "weight_map": files}, indent=2).encode() + b"\n"


def index_name(path: Path, suffix: str) -> str:
    """The name of an index of files with this suffix: `model.shoe.index.json` for `.shoe`."""
    stem = path.name.removesuffix(SUFFIX)
    return f"{stem.removesuffix(PLAIN).removesuffix(PACKED)}{suffix}{SUFFIX}"


class Shards:
    """A packed checkpoint in several files, opened by its index.

    Each file is opened when one of its tensors is asked for. Use it in a `with` statement.

    - `names`: of the tensors.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the index at `path`; raises ValueError as `read_index` does."""
        self._index, _ = read_index(Path(path))
        self._folder = Path(path).parent
        self._opened: dict[str, Opened] = {}

    @property
    def names(self) -> list[str]:
        """The names of all tensors."""
        return list(self._index["weight_map"])

    def file(self, name: str) -> Opened:
        """The open file that has a tensor; raises KeyError for another name."""
        if name not in self._index["weight_map"]:
            raise KeyError(f"there is no tensor {name!r} in this checkpoint")
        shard = self._index["weight_map"][name]
        if shard not in self._opened:
            self._opened[shard] = Opened(self._folder / shard)
        return self._opened[shard]

    def named(self, name: str) -> Any:
        """As `Opened.named`."""
        return self.file(name).named(name)

    def tensor(self, name: str) -> Any:
        """As `Opened.tensor`."""
        return self.file(name).tensor(name)

    def close(self) -> None:
        """Close all files. Tensors that were read stay."""
        for opened in self._opened.values():
            opened.close()
        self._opened.clear()

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open(path: str | Path) -> Opened | Shards:
    """A packed checkpoint whose tensors are read one at a time: `open(path).tensor(name)`.

    `path`: a packed checkpoint, or the index of one in several files.
    Raises ShoeError, ValueError and OSError for a file that is none.
    """
    return Shards(path) if is_index(Path(path)) else Opened(path)
