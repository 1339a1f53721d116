"""What differs between a process and its copies: what they drew, and what only a copy remembers."""

from __future__ import annotations

import os
import zlib
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task
from shoestring.kit.training.remembering import remembering

_LOOKED_AT = 4096
"""Elements of each tensor of a batch, at most, by which it is told from others."""
_NOT_KEPT = ("_parameters", "_buffers", "_modules", "training")


def mark_of(batch: Any) -> int:
    """A number that tells a batch from others, by some elements of its tensors: 0 to 2³² - 1."""
    mark = 0

    def note(leaf: Any) -> Any:
        nonlocal mark
        if isinstance(leaf, Tensor) and not leaf.is_sparse:
            flat = leaf.detach().reshape(-1)
            some = flat[:: max(1, -(-len(flat) // _LOOKED_AT))].cpu().contiguous()
            if some.dtype.is_complex:
                some = torch.view_as_real(some)
            mark = zlib.crc32(some.view(torch.uint8).numpy().tobytes(), mark)
        return leaf

    tree.map(note, batch)
    return mark


def what_is_kept(model: nn.Module, task: Task) -> dict[str, Any]:
    """What a model's layers and a task keep beside parameters and buffers, by name.

    Numbers, texts and None are told by value, tensors by their version, modules in the task by
    their tensors' versions; anything else is not looked at.
    """
    found = {
        f"{name}.{key}".lstrip("."): _told(value)
        for name, part in model.named_modules()
        for key, value in vars(part).items()
        if key not in _NOT_KEPT and not _is_cached(part, key)
    }
    found |= {
        f"{name} (a buffer that was not there)".lstrip("."): True
        for name, _ in model.named_buffers()
    }
    inner: Any = task
    while inner is not None:
        named = {one.name for one in fields(inner)} if is_dataclass(inner) else set()
        for key in {*named, *getattr(inner, "__dict__", {})} - {"_inner"}:
            if not _is_cached(inner, key):
                found[f"{type(inner).__name__}.{key}"] = _told(getattr(inner, key, None))
        inner = getattr(inner, "_inner", None)
    return {name: told for name, told in found.items() if told is not ...}


def changed_of(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names of what is another now, or was not there."""
    return [name for name, told in now.items() if name not in before or before[name] != told]


def _is_cached(owner: object, name: str) -> bool:
    return isinstance(getattr(type(owner), name, None), cached_property)


def _told(value: Any) -> Any:
    """What tells a value from itself after a change; ... for what is not looked at."""
    if isinstance(value, Tensor):
        return id(value), value._version
    if isinstance(value, nn.Module):
        return [(id(one), one._version) for one in (*value.parameters(), *value.buffers())]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return ...


def check_can_be_copied(model: nn.Module, parameters: list[nn.Parameter]) -> None:
    """Raise ValueError for a model whose gradients worker processes cannot make."""
    if not hasattr(os, "fork"):
        raise ValueError(
            "workers are copies of this process, which this system does not make (it has no fork): "
            "start programs that share a training, with torchrun and AllReduced()"
        )
    if other := {p.device.type for p in parameters} - {"cpu"}:
        raise ValueError(
            f"the model is on {other.pop()}, and workers are processes on the processor: use "
            "model.cpu(), or train without workers"
        )
    if half := {str(p.dtype) for p in parameters if torch.finfo(p.dtype).bits < 32}:
        raise ValueError(
            f"workers hand in gradients of single precision, and some weights are {half.pop()}: "
            "train model.float(), with precision=Mixed()"
        )
    if names := [name for name, _ in remembering(model)]:
        raise ValueError(
            f"{', '.join(names)} remember what happens in training, and in worker processes that "
            "would be lost: train without workers, or with simulated ones"
        )


def what_is_copied(model: nn.Module) -> tuple[list[Any], list[Tensor]]:
    """What tells a model from itself before something between two steps changed it.

    These are its parts, its buffers and its frozen weights.
    """
    frozen = [p for p in model.parameters() if not p.requires_grad]
    parts: list[Any] = [(id(part), part.training) for part in model.modules()]
    parts += [(id(p), p.requires_grad) for p in model.parameters()]
    return parts, [one.detach().clone() for one in (*model.buffers(), *frozen)]


def is_as_before(now: Any, before: Any) -> bool:
    """Whether two results of `what_is_copied` are equal; not, where there is none before."""
    if before is None or now[0] != before[0] or len(now[1]) != len(before[1]):
        return False
    return all(map(is_equal, now[1], before[1]))


def is_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and equal values."""
    return one.shape == other.shape and torch.equal(one, other)
