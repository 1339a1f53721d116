"""A call of torch that multiplies by a layer's weight, and what its sums are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
PRODUCTS = (*CONVOLUTIONS, "linear")


@dataclass(frozen=True)
class Product:
    """`function` (its name is among PRODUCTS) of a value, a weight and a bias, and whatever else it was given."""

    function: Callable
    name: str
    value: Tensor
    weight: Tensor
    bias: Tensor | None
    others: Sequence[Any] = ()
    keywords: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, function: Callable, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Product:
        """That of a call with these arguments."""
        named = {**dict(zip(("input", "weight", "bias"), args, strict=False)), **kwargs}
        given = named.pop("input"), named.pop("weight"), named.pop("bias", None)
        return cls(function, name, *given, args[3:], named)

    def __call__(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The same of other tensors."""
        return self.function(value, weight, bias, *self.others, **(self.keywords or {}))

    @property
    def is_convolution(self) -> bool:
        """Whether channels come before places in what it gives."""
        return self.name in CONVOLUTIONS

    @property
    def groups(self) -> int:
        """How many parts of the channels have outputs of their own."""
        return self.value.shape[1 - self.weight.ndim] // self.weight.shape[1] if self.is_convolution else 1

    def parts(self, most: int) -> list[Product]:
        """The same of some of the examples each, so that `terms` has about `most` numbers at the most."""
        if self.value.ndim < self.weight.ndim:  # one image, not a batch
            return [self]
        numbers = self.value[0].numel() * (self.weight[0, 0].numel() if self.is_convolution else 1)
        return [replace(self, value=part) for part in self.value.split(max(1, most // max(1, numbers)))]

    def terms(self) -> Tensor:
        """What is summed up, once multiplied by the weights of one output: (groups, sums, terms)."""
        if not self.is_convolution:
            return self._by_group(self.value)
        terms = self.weight[0].numel()
        one_each = torch.eye(terms).to(self.value).view(terms, *self.weight.shape[1:])
        return self._by_group(self(self.value, one_each.repeat(self.groups, *[1] * (self.weight.ndim - 1))))

    def sums(self) -> Tensor:
        """What comes out, without the bias: (groups, sums, outputs of a group)."""
        return self._by_group(self(self.value, self.weight))

    def _by_group(self, value: Tensor) -> Tensor:
        channels = value.movedim(1 - self.weight.ndim, -1) if self.is_convolution else value
        return channels.reshape(-1, self.groups, channels.shape[-1] // self.groups).transpose(0, 1)
