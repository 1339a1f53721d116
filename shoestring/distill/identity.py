"""The identity of a teacher: a digest of all that decides its answers."""

from __future__ import annotations

import hashlib
import inspect
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core.teacher import Asked

_CHUNK = 1 << 20
_SIMPLE = (bool, int, float, complex, str, bytes, type(None), torch.dtype)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_DEEPEST = 12


def identity_of(teacher: nn.Module, given: str | None = None) -> str:
    """The digest of a teacher, 64 hexadecimal digits, the same in every process.

    Of a module: the classes of its parts and those they inherit from, with their source code where
    it can be read; their attributes (numbers, text, arrays, the names and the code of functions,
    nests of them); and every parameter and buffer. Of the path of a file: its bytes. What it cannot
    see is what forward() reads from elsewhere, such as a global, or from other objects.

    `given`: a text that is part of the identity; it is needed for a function and for a loaded file,
        of which nothing can be seen.

    Raises ValueError where it is needed and missing.
    """
    digest = hashlib.sha256(f"{'' if given is None else given}\0".encode())
    if isinstance(teacher, Asked):
        if teacher.path is not None:
            _add_file(digest, teacher.path)
        elif given is None:
            raise ValueError(
                f"{teacher.what} has no weights that tell it from others, and its answers would be "
                "taken for those of another teacher: name it with identity='...', a text that you "
                "change whenever its answers change; or give the path of the file"
            )
        return digest.hexdigest()
    for path, part in teacher.named_modules():
        kind = type(part)
        digest.update(f"{path}\0{kind.__module__}.{kind.__qualname__}\0".encode())
        digest.update("".join(map(_source, kind.__mro__)).encode())
        digest.update(repr(_attributes(part)).encode())
    for name, tensor in [*teacher.named_parameters(), *teacher.named_buffers()]:
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _add_file(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _source(kind: type) -> str:
    """The source code of a class; "" for one of torch, and where it cannot be read."""
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


def _attributes(part: nn.Module) -> list[tuple[str, Any]]:
    """The attributes of a module and what tells each from another, by name."""
    return [
        (name, _told(value))
        for name, value in sorted(vars(part).items())
        if name != "training" and not name.startswith("__") and name not in _OF_EVERY_MODULE
    ]


def _told(value: Any, depth: int = 0) -> Any:
    """What tells a value from another, the same in every process; only the type of others."""
    if isinstance(value, _SIMPLE):
        return value
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        return str(value.dtype), tuple(value.shape), flat.view(torch.uint8).numpy().tobytes()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return str(value.dtype), value.shape, value.tobytes()
    kind, parts = type(value).__qualname__, []
    if isinstance(value, tuple | list):
        parts = value
    elif isinstance(value, dict):
        parts = [part for pair in value.items() for part in pair]
    elif isinstance(value, partial):
        parts = [value.func, value.args, value.keywords]
    elif isinstance(value, CodeType):
        parts = [value.co_code, value.co_names, value.co_consts]
    elif isinstance(value, FunctionType):
        captured = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = [value.__qualname__, value.__code__, value.__defaults__, captured]
    elif isinstance(value, BuiltinFunctionType | type):
        parts = [value.__qualname__]
    # A function can hold itself, so this ends.
    return kind, [_told(part, depth + 1) for part in parts if depth < _DEEPEST]
