"""Device: where a model's parameters are, and how its inputs get there."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from copy import copy
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Movable(Protocol):
    """An object with `to`: a tensor, a packed sequence, a batch of another library."""

    def to(self, device: Any) -> Any:
        """The object on a device."""
        ...


def device_of(model: Any) -> Any:
    """The torch.device of a module's parameters, or of its buffers where it has no parameters.

    It is the processor for a module without either, and for an object that is not a module.
    Raises ValueError where the parameters are on several devices.
    """
    import torch

    if not isinstance(model, torch.nn.Module):
        return torch.device("cpu")
    tensors = list(model.parameters()) or model.buffers()
    devices = {tensor.device for tensor in tensors}
    if len(devices) > 1:
        names = sorted(map(str, devices))
        raise ValueError(
            f"the parameters of the model are on several devices, {', '.join(names)}: put the "
            f"whole model on one, as with model.to({names[-1]!r})"
        )
    return next(iter(devices), torch.device("cpu"))


def on_device(nest: Any, device: Any) -> Any:
    """A nest of dicts, lists and tuples, with everything that has `to` moved to a device."""
    if isinstance(nest, Movable) and callable(nest.to):  # a field may be called `to`
        return nest.to(device)
    if isinstance(nest, MutableMapping):
        moved = {} if type(nest) is dict else copy(nest)  # keeps the class of the mapping
        moved.update({key: on_device(value, device) for key, value in nest.items()})
        return moved
    if isinstance(nest, list | tuple):
        values = [on_device(value, device) for value in nest]
        return type(nest)(*values) if hasattr(nest, "_fields") else type(nest)(values)
    return nest


@contextmanager
def called_from_processor(model: Any) -> Iterator[None]:
    """Let a module on another device take and return tensors of the processor, within the context.

    Parts that are called by themselves (`model.encoder(x)`) do so too.
    """
    if (device := device_of(model)).type == "cpu":
        yield
        return
    depth = 0

    def enter(_module: Any, args: Any, kwargs: Any) -> Any:
        nonlocal depth
        depth += 1
        return (on_device(args, device), on_device(kwargs, device)) if depth == 1 else None

    def leave(_module: Any, _args: Any, output: Any) -> Any:
        nonlocal depth
        depth -= 1
        return None if depth else on_device(output, "cpu")

    hooks: list[Any] = []
    for part in model.modules():
        hooks.append(part.register_forward_pre_hook(enter, with_kwargs=True))
        hooks.append(part.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
