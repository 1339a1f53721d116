"""An ONNX operator as a function of tensors, its attributes and known numbers."""

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
"""torch's types by ONNX's type numbers."""
NUMPY_TYPES: dict[int, np.dtype] = {
    number: np.dtype(name) for number, (name, _) in ELEMENTS.items() if name != "bfloat16"
}
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
"""Types that torch stores but does not compute with."""
HALVES = (torch.float16, torch.bfloat16)
Array = np.ndarray[Any, Any]
Value = Any
"""A Tensor, or a numpy array of known numbers, or None where an input is absent.

Known numbers are shapes and what is computed of them. One may be a symbol of torch.export.
"""


class UnservedError(ValueError):
    """An operator is used in a way that no torch function serves."""


@dataclass(frozen=True)
class Attributes:
    """The attributes of a node.

    `values`: by name.
    `opset`: which defines their meaning.
    `outputs`: how many outputs are wanted.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 20
    outputs: int = 1

    def __call__(self, name: str, default: Any = None) -> Any:
        """The value of a name, or ONNX's default where it is absent."""
        return self.values.get(name, default)


@dataclass(frozen=True)
class Operator:
    """An operator of ONNX.

    `call`: `call(attributes, *inputs)` returns a tensor, or a tuple of several.
    `known`: the indices of inputs that it needs as numpy arrays.
    `of_numbers`: does the same for numpy arrays alone; None where there is no such function.
    """

    call: Callable[..., Any]
    known: tuple[int, ...] = ()
    of_numbers: Callable[..., Any] | None = None

    def run(self, attributes: Attributes, values: Sequence[Value]) -> Any:
        """The outputs for these attributes and inputs."""
        present = [value for value in values if value is not None]
        numeric = (
            self.of_numbers is not None
            and present
            and all(isinstance(value, np.ndarray) for value in present)
        )
        # The number of elements must not be symbolic.
        sizes = [
            values[index]
            for index in self.known
            if index < len(values) and values[index] is not None
        ]
        is_open = numeric and any(value.dtype == object for value in sizes)
        if self.of_numbers is not None and numeric and not is_open:
            return self.of_numbers(attributes, *values)
        like = next((value for value in present if isinstance(value, Tensor)), None)
        return self.call(
            attributes,
            *(
                numbers(value) if index in self.known else as_tensor(value, like)
                for index, value in enumerate(values)
            ),
        )


def numbers(value: Value) -> Any:
    """The value as a numpy array; None stays None."""
    if value is None or isinstance(value, np.ndarray):
        return value
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def integers(value: Array) -> list[Any]:
    """The numbers of an array as a list of integers; symbols of torch.export stay symbols."""
    return [
        number if isinstance(number, torch.SymInt) else int(number) for number in value.reshape(-1)
    ]


def as_tensor(value: Value, like: Tensor | None = None) -> Any:
    """The value as a tensor on the device of `like`; None stays None."""
    if not isinstance(value, np.ndarray):
        return value
    device = like.device if isinstance(like, Tensor) else None
    if value.dtype != object:
        return torch.tensor(value, device=device)
    flat = [
        torch.scalar_tensor(number, dtype=_type_of(number), device=device)
        for number in value.reshape(-1)
    ]
    kind = next((number.dtype for number in flat if number.is_floating_point()), torch.int64)
    return torch.stack([number.to(kind) for number in flat]).reshape(value.shape)


def _type_of(number: Any) -> torch.dtype:
    return torch.float32 if isinstance(number, float | torch.SymFloat) else torch.int64


def settled(value: Any) -> Array:
    """The array with a numeric type instead of objects, where no number is symbolic."""
    value = np.asarray(value)
    if value.dtype != object:
        return value
    if not value.size:
        return value.astype(np.int64)
    for kind, numpy_type in ((bool, np.bool_), (int, np.int64), (float, np.float32)):
        if all(isinstance(number, kind | np.generic) for number in value.reshape(-1)):
            return value.astype(numpy_type)
    return value


def type_of(value: Any) -> torch.dtype | None:
    """The type of a tensor; None for what stands in for a tensor in tracing."""
    return value.dtype if isinstance(value, Tensor) else None


def plain(
    function: Callable[..., Any],
    known: tuple[int, ...] = (),
    numpy: Callable[..., Any] | None = None,
) -> Operator:
    """An operator without attributes.

    `function`: of tensors.
    `known`: as in `Operator`.
    `numpy`: the same function for arrays; None where there is none.
    """
    of_numbers = None if numpy is None else lambda _, *values: settled(numpy(*values))
    return Operator(lambda _, *values: function(*values), known, of_numbers)


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, computed in int64 for types for which torch has no kernels."""

    def call(*values: Any) -> Any:
        kind = type_of(values[0])
        if kind not in UNSIGNED:
            return function(*values)
        answer = function(*(value.to(torch.int64) for value in values))
        return answer.to(kind) if answer.dtype == torch.int64 else answer

    return call
