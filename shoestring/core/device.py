"""Device: where a model's parameters are, and how what it is given gets there."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from copy import copy
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Movable(Protocol):
    """What can be moved: a tensor, a packed sequence, a batch of another library."""

    def to(self, device: Any) -> Any:
        """The same on a device."""
        ...


def device_of(model: Any) -> Any:
    """The torch.device of a module: that of its parameters, or of its buffers where it has none.

    A module without either, and what is no module, is on the processor.
    Raises ValueError where the parameters are on several devices.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        return torch.device("cpu")
    found = {one.device for one in model.parameters()} or {one.device for one in model.buffers()}
    if len(found) > 1:
        names = sorted(map(str, found))
        raise ValueError(
            f"the parameters of the model are on several devices, {', '.join(names)}: put the "
            "whole "
            f"model on one, as with model.to({names[-1]!r})"
        )
    return next(iter(found), torch.device("cpu"))


def on_device(nest: Any, device: Any) -> Any:
    """A nest of dicts, lists and tuples with all that can be moved on a device; the rest as it is."""
    if isinstance(nest, Movable) and callable(nest.to):  # which a field of that name is not
        return nest.to(device)
    if isinstance(nest, MutableMapping):
        moved = {} if type(nest) is dict else copy(nest)  # of another class, it stays of that
        moved.update({key: on_device(value, device) for key, value in nest.items()})
        return moved
    if isinstance(nest, list | tuple):
        values = [on_device(value, device) for value in nest]
        return type(nest)(*values) if hasattr(nest, "_fields") else type(nest)(values)
    return nest


@contextmanager
def called_from_processor(model: Any) -> Iterator[None]:
    """Within, a module that is elsewhere takes tensors of the processor and answers with such ones.

    Parts that are called by themselves (`model.encoder(x)`) do so too.
    """
    if (home := device_of(model)).type == "cpu":
        yield
        return
    depth = 0

    def enter(_module: Any, args: Any, kwargs: Any) -> Any:
        nonlocal depth
        depth += 1
        return (on_device(args, home), on_device(kwargs, home)) if depth == 1 else None

    def leave(_module: Any, _args: Any, answer: Any) -> Any:
        nonlocal depth
        depth -= 1
        return None if depth else on_device(answer, "cpu")

    hooks: list[Any] = []
    for part in model.modules():
        hooks.append(part.register_forward_pre_hook(enter, with_kwargs=True))
        hooks.append(part.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
