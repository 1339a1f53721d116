"""Lets `from_pretrained` of the transformers package read folders whose weights are packed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from shoestring.artifact.checkpoints.opened import Opened
from shoestring.artifact.checkpoints.sharded import (
    PACKED,
    PLAIN,
    SUFFIX,
    read_index,
    renamed,
)
from shoestring.kit.weights.checkpoint import tensor_of

_WEIGHTS = "model"  # the name of the weights in the folders of transformers


@contextmanager
def packed_pretrained() -> Iterator[None]:
    """In this context `from_pretrained(folder)` reads packed weights too.

    The folder has `model.shoe`, or the shards that `model.shoe.index.json` names, in place of the
    files ending in `.safetensors`; `shoestring pack` writes both. Each tensor is decoded when the
    model takes it; nothing is written. Other folders, and models from a hub, are read as before.

        with packed_pretrained():
            model = AutoModel.from_pretrained("folder")

    Contexts of several threads may overlap; while one is open, the others read packed weights too.
    Raises ModuleNotFoundError without transformers, and RuntimeError for a version of it that reads
    checkpoints in another way (it was tested with version 5).
    """
    scope = _patch.enter()
    try:
        yield
    finally:
        _patch.leave(scope)


class _Patch:
    """The functions of transformers that are replaced while a context is open, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._kept: dict[str, Any] = {}

    def enter(self) -> dict[str, Any]:
        """Replace the functions, if this is the first context; returns where they are."""
        try:
            from transformers import modeling_utils
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "reading packed models: transformers is not installed: `pip install "
                "'transformers>=5'`",
                name="transformers",
            ) from None
        scope = modeling_utils.__dict__
        with self._lock:
            if not self._depth:
                self._kept = _functions(scope)
                scope.update(_reading_packed(**self._kept))
            self._depth += 1
        return scope

    def leave(self, scope: dict[str, Any]) -> None:
        """Put the functions back, if this was the last context that is open."""
        with self._lock:
            self._depth -= 1
            if not self._depth:
                scope.update(self._kept)


_patch = _Patch()


def _functions(scope: dict[str, Any]) -> dict[str, Any]:
    """The functions of transformers that open files and find them; raises RuntimeError."""
    names = "safe_open", "_get_resolved_checkpoint_files"
    if not scope.keys() >= set(names):
        raise RuntimeError(
            "this version of transformers reads checkpoints in another way: use version 5, or "
            "`shoestring unpack` first"
        )
    return {name: scope[name] for name in names}


def _reading_packed(safe_open: Any, _get_resolved_checkpoint_files: Any) -> dict[str, Any]:
    """Functions that do what these do, and take packed files where plain ones are not there."""

    def opening(path: str | os.PathLike[str], *given: Any, **more: Any) -> Any:
        packed = Path(path).with_suffix(PACKED)
        if not Path(path).exists() and packed.is_file():
            return PackedFile(packed)
        return safe_open(path, *given, **more)

    def resolving(*given: Any, **more: Any) -> Any:
        name = more.get("pretrained_model_name_or_path", given[0] if given else None)
        folder = Path(name or "", more.get("download_kwargs", {}).get("subfolder", "") or "")
        found = _files(folder) if name is not None and folder.is_dir() else None
        return found or _get_resolved_checkpoint_files(*given, **more)

    return {"safe_open": opening, "_get_resolved_checkpoint_files": resolving}


def _files(folder: Path) -> tuple[list[str], dict[str, Any] | None] | None:
    """The files of packed weights under the names that they have unpacked, and the index of them.

    None for a folder without packed weights, or with others.
    """
    plain = folder / f"{_WEIGHTS}{PLAIN}"
    if plain.exists() or plain.with_name(f"{plain.name}{SUFFIX}").exists():
        return None
    if plain.with_suffix(PACKED).is_file():
        return [str(plain)], None
    listed = folder / f"{_WEIGHTS}{PACKED}{SUFFIX}"
    if not listed.is_file():
        return None
    index, files = read_index(listed)
    about = dict(index.get("metadata") or {})
    about["all_checkpoint_keys"] = list(index["weight_map"])
    about["weight_map"] = json.loads(renamed(index, PLAIN))["weight_map"]
    return [str(file.with_suffix(PLAIN)) for file in files], about


class PackedFile:
    """A packed checkpoint with the methods of `safetensors.safe_open` for PyTorch."""

    def __init__(self, path: str | Path) -> None:
        """Open the file at `path`; raises ShoeError and OSError."""
        self._opened = Opened(path)

    def keys(self) -> list[str]:
        """The names of the tensors."""
        return self._opened.names

    def metadata(self) -> dict[str, str]:
        """The metadata of the .safetensors file that was packed."""
        return self._opened.metadata

    def get_tensor(self, name: str) -> torch.Tensor:
        """The tensor; raises KeyError and ShoeError."""
        return tensor_of(self._opened.named(name))

    def get_slice(self, name: str) -> PackedSlice:
        """The tensor, which is decoded when a part of it is taken."""
        return PackedSlice(self._opened, name)

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()


class PackedSlice:
    """A tensor of a packed checkpoint that is not decoded yet."""

    def __init__(self, opened: Opened, name: str) -> None:
        self._opened, self._name = opened, name

    def get_shape(self) -> list[int]:
        """Its shape."""
        return list(self._opened.described(self._name).shape)

    def get_dtype(self) -> str:
        """The name of its type in safetensors, such as "BF16"."""
        return self._opened.described(self._name).dtype

    def __getitem__(self, index: Any) -> torch.Tensor:
        """A part of it; the whole tensor is decoded."""
        return tensor_of(self._opened.named(self._name))[index]
