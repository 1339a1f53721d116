"""Checkpoints of PyTorch (files of `torch.save`) as packed checkpoints, and back.

They are read with `weights_only=True`, so that no code in them is run.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from shoestring.artifact import Checkpoint, ShoeError
from shoestring.artifact.checkpoints.checkpoint import STRUCTURE, checkpoint, everything, tied
from shoestring.artifact.checkpoints.safetensors import Named

_DTYPES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float64: "F64",
    torch.bool: "BOOL",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.uint8: "U8",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e8m0fnu: "F8_E8M0",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.complex64: "C64",
}
_TORCH = {name: dtype for dtype, name in _DTYPES.items()}
_BITS = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}
_PLAIN = (bool, int, float, str, type(None))


def from_torch(path: Path) -> Checkpoint:
    """The tensors of a file that `torch.save` wrote, named by their path ("model.layers.0.weight").

    Numbers, texts, lists and dictionaries around the tensors are kept; other objects are left out,
    with a warning. Tensors that share all of their memory are kept once. Raises ValueError for a
    file that is damaged, holds objects whose reading could run code, or holds no tensor that can be
    packed.
    """
    with path.open("rb") as opened:
        zipped = opened.read(2) == b"PK"
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors, and reading that could run code in it "
            f"({_reason(error)}). If you trust it, load it with torch.load(..., "
            "weights_only=False), save model.state_dict() with torch.save, and pack that"
        ) from None
    except (
        RuntimeError,
        EOFError,
        KeyError,
        ValueError,
        AttributeError,
        IndexError,
        TypeError,
    ) as error:
        raise ValueError(f"{path} cannot be read as a file of PyTorch: {_reason(error)}") from None
    collected = _Collected()
    try:
        tree = collected.tree(loaded, "")
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply, or in itself") from None
    if not collected.tensors:
        raise ValueError(f"there is no tensor in {path}")
    if collected.left_out:
        more = f" and {len(collected.left_out) - 5} more" if len(collected.left_out) > 5 else ""
        warnings.warn(
            f"{path}: left out, being no tensors: {', '.join(collected.left_out[:5])}{more}",
            stacklevel=2,
        )
    named = [_named(name, value) for name, value in collected.tensors.items()]
    flat = {"dict": [[name, {"tensor": name}] for name in collected.tensors]}
    notes = {} if tree == flat and not collected.tied else {STRUCTURE: json.dumps(tree)}
    return checkpoint(named, {"format": "pt"}, tied=collected.tied, notes=notes)


class _Collected:
    """The tensors of nested dictionaries and lists."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.tied: dict[str, str] = {}
        self.left_out: list[str] = []
        self._owners: dict[tuple, str] = {}

    def tree(self, value: Any, name: str) -> dict[str, Any] | None:
        """A value as JSON, with names in place of tensors; None where it is left out."""
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, name or "tensor")}
        if isinstance(value, _PLAIN):
            return {"value": value}
        if isinstance(value, Mapping):
            branches = [
                (key, self.tree(branch, _joined(name, key)))
                for key, branch in value.items()
                if self._is_key(key, branch, name)
            ]
            return {"dict": [[key, branch] for key, branch in branches if branch is not None]}
        if isinstance(value, list | tuple):
            branches = [
                self.tree(branch, _joined(name, index)) or {"value": None}
                for index, branch in enumerate(value)
            ]
            return {"list" if isinstance(value, list) else "tuple": branches}
        self._leave_out(value, f"{name or 'all of it'} ({type(value).__name__})")
        return None

    def _is_key(self, key: Any, branch: Any, name: str) -> bool:
        if isinstance(key, _PLAIN):
            return True
        self._leave_out(branch, _joined(name, key))
        return False

    def _leave_out(self, value: Any, name: str) -> None:
        """Note what is left out; raises ValueError where that would lose a tensor."""
        if _has_tensor(value):
            raise ValueError(
                f"{name} has a tensor in it, under a key or in a container that cannot be packed: "
                "put it under a text, a number, or in a list or dictionary"
            )
        self.left_out.append(name)

    def _tensor(self, value: Tensor, name: str) -> str:
        if name in self.tensors or name in self.tied:
            raise ValueError(f"two tensors would have the name {name!r}")
        if (
            value.layout != torch.strided
            or value.is_quantized
            or value.device.type != "cpu"
            or value.dtype not in _DTYPES
        ):
            what = f"{value.dtype}, {value.layout}, on {value.device}" + (
                ", quantized" if value.is_quantized else ""
            )
            raise ValueError(
                f"{name!r} is a tensor that cannot be packed ({what}): leave it out, or convert it"
            )
        if value.numel():
            memory = (
                value.data_ptr(),
                value.shape,
                value.stride(),
                value.dtype,
                value.is_conj(),
                value.is_neg(),
            )
            owner = self._owners.setdefault(memory, name)
            if owner != name:
                self.tied[name] = owner
                return name
        self.tensors[name] = value.detach()
        return name


def _has_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_tensor, (*value.keys(), *value.values())))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_has_tensor, value))
    return isinstance(value, Tensor)


def _named(name: str, value: Tensor) -> Named:
    value = value.resolve_conj().resolve_neg().contiguous()
    parts = torch.view_as_real(value) if value.is_complex() else value
    return Named(
        name,
        _DTYPES[value.dtype],
        tuple(value.shape),
        parts.reshape(-1).view(_BITS[parts.element_size()]).numpy(),
    )


def as_torch(packed: Checkpoint) -> tuple[bytes, str]:
    """(the tensors as `torch.save` writes them, nested as they were; a sentence that says so).

    Raises ShoeError for a damaged file.
    """
    owners, tensors = tied(packed), {}
    for named in everything(packed):
        owner = owners.get(named.name)
        tensors[named.name] = tensors[owner] if owner is not None else tensor_of(named)
    nest: Any = tensors
    if STRUCTURE in packed.notes:
        try:
            nest = _filled(json.loads(packed.notes[STRUCTURE]), tensors)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ShoeError("damaged file: its structure is not that of its tensors") from None
    buffer = io.BytesIO()
    torch.save(nest, buffer)
    return buffer.getvalue(), "the tensors that were packed, bit for bit, as torch.save writes them"


def tensor_of(named: Named) -> Tensor:
    """The tensor of PyTorch with this type, shape and bits."""
    flat = named.bits.reshape(-1)
    bits = torch.from_numpy(flat if flat.flags.writeable else flat.copy())
    if named.dtype == "C64":
        return torch.view_as_complex(bits.view(torch.float32).reshape(*named.shape, 2))
    return bits.view(_TORCH[named.dtype]).reshape(named.shape)


def _filled(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The nest that `_Collected.tree` described, with the tensors in it."""
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "value" and isinstance(value, _PLAIN):
        return value
    if kind == "dict":
        return {key: _filled(branch, tensors) for key, branch in value}
    if kind in ("list", "tuple"):
        branches = [_filled(branch, tensors) for branch in value]
        return branches if kind == "list" else tuple(branches)
    raise ValueError(f"there is no {kind}")


def _joined(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _reason(error: Exception) -> str:
    """The first sentence of PyTorch's message, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if "WeightsUnpickler error" in line or "GLOBAL" in line]
    return (
        (named or lines or [type(error).__name__])[0]
        .removeprefix("WeightsUnpickler error: ")
        .split(". ")[0]
        .rstrip(".")[:200]
    )
