"""A call of torch that multiplies by a layer's weight, and the terms of its sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.nn import functional

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
PRODUCTS = (*CONVOLUTIONS, "linear")


@dataclass(frozen=True)
class Product:
    """A call of a function in PRODUCTS on a value, a weight and a bias.

    `others`, `keywords`: the other arguments, by position and by name.
    """

    function: Callable
    name: str
    value: Tensor
    weight: Tensor
    bias: Tensor | None
    others: Sequence[Any] = ()
    keywords: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, function: Callable, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Product:
        """The product that a call with these arguments computes."""
        named = {**dict(zip(("input", "weight", "bias"), args, strict=False)), **kwargs}
        given = named.pop("input"), named.pop("weight"), named.pop("bias", None)
        return cls(function, name, *given, args[3:], named)

    def __call__(self, value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The result of the same call on other tensors."""
        return self.function(value, weight, bias, *self.others, **(self.keywords or {}))

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, with channels before positions."""
        return self.name in CONVOLUTIONS

    @property
    def groups(self) -> int:
        """The number of groups of a convolution; 1 for `linear`."""
        return (
            self.value.shape[1 - self.weight.ndim] // self.weight.shape[1]
            if self.is_convolution
            else 1
        )

    def parts(self, most: int) -> list[Product]:
        """The product for a few examples at a time, so that `terms` has about `most` numbers.

        At least one example at a time.
        """
        if self.value.ndim < self.weight.ndim:  # one image, not a batch
            return [self]
        numbers = self.value[0].numel() * (self.weight[0, 0].numel() if self.is_convolution else 1)
        return [
            replace(self, value=part) for part in self.value.split(max(1, most // max(1, numbers)))
        ]

    def terms(self) -> Tensor:
        """What each sum multiplies by an output's weights, (groups, sums, terms)."""
        return self._by_group(self._windows() if self.is_convolution else self.value)

    def sums(self) -> Tensor:
        """The results without the bias, (groups, sums, outputs of a group)."""
        return self._by_group(self(self.value, self.weight))

    def _windows(self) -> Tensor:
        """What a convolution's kernel covers at each position (im2col).

        (examples, channels times kernel, *positions), or without the axis of examples.
        """
        kernel = self.weight.shape[2:]
        axes = len(kernel)
        given = {
            **dict(zip(("stride", "padding", "dilation"), self.others, strict=False)),
            **(self.keywords or {}),
        }
        stride, dilation = (_for_each(given.get(name, 1), axes) for name in ("stride", "dilation"))
        reach = [gap * (size - 1) for gap, size in zip(dilation, kernel, strict=True)]
        padding = given.get("padding", 0)
        if padding == "same":  # as torch does: the larger half at the end
            ends = [(total // 2, total - total // 2) for total in reach]
        else:
            ends = [(each, each) for each in _for_each(0 if padding == "valid" else padding, axes)]
        value = functional.pad(self.value, [end for both in reversed(ends) for end in both])
        first = value.ndim - axes
        for axis in range(axes):
            value = value.unfold(first + axis, reach[axis] + 1, stride[axis])[
                ..., :: dilation[axis]
            ]
        channels_last = value.movedim(first - 1, value.ndim - axes - 1)
        return channels_last.flatten(-axes - 1).movedim(-1, first - 1)

    def _by_group(self, value: Tensor) -> Tensor:
        channels = value.movedim(1 - self.weight.ndim, -1) if self.is_convolution else value
        return channels.reshape(-1, self.groups, channels.shape[-1] // self.groups).transpose(0, 1)


def _for_each(given: Any, axes: int) -> Sequence[int]:
    """A setting of a convolution, such as its stride, for each of its axes."""
    each = tuple(given) if isinstance(given, Sequence) else (given,)
    return each * axes if len(each) == 1 else each
