"""Buffers of a module, such as running statistics: kept, and given back."""

from __future__ import annotations

from torch import Tensor, nn


def copies_of_buffers(model: nn.Module) -> dict[str, Tensor]:
    """A copy of each buffer of a module, by name."""
    return {name: buffer.detach().clone() for name, buffer in model.named_buffers()}


def restore_buffers(model: nn.Module, kept: dict[str, Tensor]) -> None:
    """Write the values that `copies_of_buffers` gave back into a module's buffers, in place.

    Buffers that the module made or resized since then stay: it may remember their size elsewhere.
    So do expanded ones, whose elements share memory, and which torch lets nobody write to.
    """
    for name, buffer in model.named_buffers():
        value = kept.get(name)
        if value is not None and value.shape == buffer.shape and not _expanded(buffer):
            buffer.data.copy_(value)  # through data: a backward pass may be yet to come


def _expanded(buffer: Tensor) -> bool:
    return any(
        size > 1 and not stride for size, stride in zip(buffer.shape, buffer.stride(), strict=True)
    )
