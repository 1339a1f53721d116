"""The identity of a teacher: a digest of all that decides its answers."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shoestring.core.teacher import Asked

_CHUNK = 1 << 20
_SIMPLE = (bool, int, float, complex, str, bytes, type(None), torch.dtype)


def identity_of(teacher: nn.Module, given: str | None = None) -> str:
    """The digest of a teacher, 64 hexadecimal digits, the same in every process.

    Of a module: the classes of its parts with their source code where it can be read, their simple
    attributes (numbers, text, tuples of them), and every parameter and buffer. Of the path of a
    file: its bytes. What it cannot see is what forward() reads from elsewhere, such as a global.

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
        digest.update(_source(kind).encode())
        digest.update(repr(_simple(part)).encode())
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


def _simple(part: nn.Module) -> list[tuple[str, Any]]:
    """The attributes of a module that are numbers, text, and tuples or lists of them, by name."""
    return sorted(
        (name, value)
        for name, value in vars(part).items()
        if name != "training" and not name.startswith("__") and _is_simple(value)
    )


def _is_simple(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_simple, value))
    return isinstance(value, _SIMPLE)
