"""What an operator of ONNX is here.

A function of tensors, its attributes, and numbers that are known before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact.format.tensors import ELEMENTS

TYPES: dict[int, torch.dtype] = {
    number: getattr(torch, name) for number, (name, _) in ELEMENTS.items()
}
"""torch's types by ONNX's numbers."""
NUMPY_TYPES: dict[int, np.dtype] = {
    number: np.dtype(name) for number, (name, _) in ELEMENTS.items() if name != "bfloat16"
}
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that torch stores and does not compute with."""
HALVES = (torch.float16, torch.bfloat16)
Array = np.ndarray[Any, Any]
Value = Any
"""A Tensor; or a numpy array of numbers that are known while the graph runs.

Shapes and what is computed of them, in which a number may be one that torch.export keeps open; None
where an input is absent.
"""


class UnservedError(ValueError):
    """An operator that is used in a way that no function of torch serves."""


@dataclass(frozen=True)
class Attributes:
    """Those of a node, by name; `opset` says what they mean, `outputs` how many are wanted."""

    values: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 20
    outputs: int = 1

    def __call__(self, name: str, default: Any = None) -> Any:
        """That of a name, or what ONNX says where it is not there."""
        return self.values.get(name, default)


@dataclass(frozen=True)
class Operator:
    """`call(attributes, *inputs)` gives a tensor, or a tuple of several.

    `known`: the places of inputs that it wants as numpy arrays.
    `of_numbers(attributes, *inputs)` does the same of numpy arrays alone; None where it cannot.
    """

    call: Callable[..., Any]
    known: tuple[int, ...] = ()
    of_numbers: Callable[..., Any] | None = None

    def run(self, attributes: Attributes, values: Sequence[Value]) -> Any:
        """What it gives."""
        given = [one for one in values if one is not None]
        numeric = (
            self.of_numbers is not None
            and given
            and all(isinstance(one, np.ndarray) for one in given)
        )
        # How many numbers there are must not be open.
        sizes = [
            values[place]
            for place in self.known
            if place < len(values) and values[place] is not None
        ]
        is_open = numeric and any(one.dtype == object for one in sizes)
        if self.of_numbers is not None and numeric and not is_open:
            return self.of_numbers(attributes, *values)
        like = next((one for one in given if isinstance(one, Tensor)), None)
        return self.call(
            attributes,
            *(
                numbers(one) if place in self.known else as_tensor(one, like)
                for place, one in enumerate(values)
            ),
        )


def numbers(value: Value) -> Any:
    """As a numpy array; None stays None."""
    if value is None or isinstance(value, np.ndarray):
        return value
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def whole(value: Array) -> list[Any]:
    """The numbers of an array, one after the other; those that torch.export keeps open as they are."""
    return [one if isinstance(one, torch.SymInt) else int(one) for one in value.reshape(-1)]


def as_tensor(value: Value, like: Tensor | None = None) -> Any:
    """As a tensor where `like` is; None stays None."""
    if not isinstance(value, np.ndarray):
        return value
    device = like.device if isinstance(like, Tensor) else None
    if value.dtype != object:
        return torch.tensor(value, device=device)
    flat = [
        torch.scalar_tensor(one, dtype=_type_of(one), device=device) for one in value.reshape(-1)
    ]
    kind = next((one.dtype for one in flat if one.is_floating_point()), torch.int64)
    return torch.stack([one.to(kind) for one in flat]).reshape(value.shape)


def _type_of(one: Any) -> torch.dtype:
    return torch.float32 if isinstance(one, float | torch.SymFloat) else torch.int64


def settled(value: Any) -> Array:
    """An array whose type says what is in it, where nothing in it is open."""
    value = np.asarray(value)
    if value.dtype != object:
        return value
    if not value.size:
        return value.astype(np.int64)
    for kind, made in ((bool, np.bool_), (int, np.int64), (float, np.float32)):
        if all(isinstance(one, kind | np.generic) for one in value.reshape(-1)):
            return value.astype(made)
    return value


def type_of(value: Any) -> torch.dtype | None:
    """The type of a tensor; None of what only stands for one while a graph is traced."""
    return value.dtype if isinstance(value, Tensor) else None


def plain(
    function: Callable[..., Any],
    known: tuple[int, ...] = (),
    numpy: Callable[..., Any] | None = None,
) -> Operator:
    """An operator without attributes; `numpy`: the same function of arrays."""
    of_numbers = None if numpy is None else lambda _, *values: settled(numpy(*values))
    return Operator(lambda _, *values: function(*values), known, of_numbers)


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, computed in 64 bits where torch has no kernels for a type."""

    def call(*values: Any) -> Any:
        kind = type_of(values[0])
        if kind not in UNSIGNED:
            return function(*values)
        answer = function(*(one.to(torch.int64) for one in values))
        return answer.to(kind) if answer.dtype == torch.int64 else answer

    return call
