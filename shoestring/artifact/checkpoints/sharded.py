"""Checkpoints in several files with an index, as large models have them.

The index is a JSON object. Its "weight_map" has the file of each tensor, in the folder of the
index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoestring.artifact.checkpoints.checkpoint import SHA256, SOURCE
from shoestring.artifact.checkpoints.opened import Opened
from shoestring.artifact.checkpoints.streaming import sha256_of
from shoestring.artifact.format.saving import check_file
from shoestring.artifact.wire import ShoeError

SUFFIX = ".index.json"
PLAIN, PACKED = ".safetensors", ".shoe"
_TEXT = "shoestring.original"  # the key of the text that an index had before it was packed


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


def packed_index(path: Path) -> bytes:
    """The index of the packed files, from which `plain_index` makes the one at `path` again.

    It keeps the text of the latter where that is formatted in another way than ours. Raises
    ValueError as `read_index` does.
    """
    index, _ = read_index(path)
    made, text = renamed(index, PACKED), path.read_bytes()
    if plain_index(json.loads(made)) == text:
        return made
    return renamed({**index, _TEXT: text.decode()}, PACKED)


def plain_index(index: Mapping[str, Any]) -> bytes:
    """The index of the unpacked files, given that of the packed ones.

    It has the bytes of the index that was packed, where that had the same names of files.
    """
    text = index.get(_TEXT)
    made = renamed({key: value for key, value in index.items() if key != _TEXT}, PLAIN)
    try:
        same = isinstance(text, str) and json.loads(text) == json.loads(made)
        return text.encode() if same and isinstance(text, str) else made
    except (ValueError, RecursionError):
        return made


def targets(files: list[Path], folder: Path, suffix: str) -> dict[Path, Path]:
    """The file in `folder` that each file becomes, with another suffix.

    Raises ValueError where two would become the same one.
    """
    found: dict[Path, Path] = {}
    for file in files:
        target = folder / Path(file.name).with_suffix(suffix)
        if target in found:
            raise ValueError(
                f"{found[target].name} and {file.name} would both become {target.name}: rename one "
                "of them, in the index too"
            )
        found[target] = file
    return {file: target for target, file in found.items()}


def is_packed_from(packed: Path, original: Path) -> bool:
    """Whether a packed file says that it was made of exactly the bytes that `original` has now."""
    return _noted(packed, SHA256, SOURCE) == sha256_of(original)


def is_unpacked_to(packed: Path, plain: Path) -> bool:
    """Whether `plain` has exactly the bytes that a packed file gives back."""
    return _noted(packed, SHA256) == sha256_of(plain)


def _noted(packed: Path, *keys: str) -> str | None:
    """The first of these notes that a packed file has; None for a file that is none, or damaged."""
    try:
        with Opened(packed) as opened:
            return next((opened.notes[key] for key in keys if key in opened.notes), None)
    except (ShoeError, OSError):
        return None


def index_name(path: Path, suffix: str) -> str:
    """The name of an index of files with this suffix: `model.shoe.index.json` for `.shoe`."""
    stem = path.name.removesuffix(SUFFIX)
    return f"{stem.removesuffix(PLAIN).removesuffix(PACKED)}{suffix}{SUFFIX}"


def check_names(index: Mapping[str, Any], name: str, packed: Path) -> None:
    """Raises ValueError where a file lacks a tensor that an index says it has.

    `name`: of the file in the index. `packed`: the packed file.
    """
    with Opened(packed, max_bytes=1 << 62) as opened:
        inside = set(opened.names)
    for tensor, file in index["weight_map"].items():
        if file == name and tensor not in inside:
            raise ValueError(
                f"the index says that {name} has the tensor {tensor!r}, and it has not: fetch both "
                "again"
            )


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

    def keys(self) -> list[str]:
        """The same as `names`, as safetensors calls it."""
        return self.names

    def get_tensor(self, name: str) -> Any:
        """The same as `tensor`, as safetensors calls it."""
        return self.tensor(name)

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


def open_checkpoint(path: str | Path) -> Opened | Shards:
    """A packed checkpoint whose tensors are read one at a time, with its method `tensor`.

    `path`: a packed checkpoint, or the index of one in several files.
    Raises ShoeError, ValueError and OSError for a file that is none.
    """
    return Shards(path) if is_index(Path(path)) else Opened(path)
