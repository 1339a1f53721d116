"""Writes the tensor list: what describes a tensor before the fields of its coding."""

from __future__ import annotations

from shoestring.artifact.format.tensors import BLOCKS, MOST_AXES, RAW, Tensor
from shoestring.artifact.wire import Writer, squeeze


def shorter(data: bytes) -> bytes:
    """The data after a byte 00, or squeezed, which never begins with 00: whichever is shorter."""
    return min(b"\0" + data, squeeze(data), key=len)


def steps_of(tensors: list[Tensor]) -> list[int]:
    """The step of each tensor: how much its `member` is above the one before it; 0 for a constant.

    Raises ValueError for tensors that are not in the order of their `member`.
    """
    steps: list[int] = []
    previous = -1
    for tensor in tensors:
        step = 0 if tensor.member is None else tensor.member - previous
        if step < 0 or (tensor.member is not None and step == 0):
            raise ValueError("members must come in the order of the module")
        previous = previous if tensor.member is None else tensor.member
        steps.append(step)
    return steps


def description(tensor: Tensor, step: int, coding: int) -> bytes:
    """The beginning of a tensor's entry in the tensor list, before the fields of the coding.

    `step`: as `steps_of` gives it.
    """
    axes = tensor.bits.ndim
    if axes > MOST_AXES:
        raise ValueError(f"a tensor has {axes} axes and a file holds {MOST_AXES} at most")
    flags = (step != 1) << 7 | (tensor.element != 1) << 6
    out = Writer([flags | min(axes, 7) << 3 | (coding if coding != BLOCKS else RAW)])
    if step != 1:
        out.varint(step)
    if tensor.element != 1:
        out.append(tensor.element)
    if axes >= 7:
        out.varint(axes)
    for size in tensor.bits.shape:
        out.varint(size)
    return bytes(out)
