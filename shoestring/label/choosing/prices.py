"""What labels cost: each the same, by the length of the example, or as listed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor

from shoestring.core.labels import LabelTask
from shoestring.label.choosing.answers import chunks, is_token


class Prices(Protocol):
    """What the labels of examples cost."""

    def of(self, task: LabelTask, indices: Any) -> Tensor:
        """The price of each example, above 0: N."""
        ...

    def rates(self, task: LabelTask, indices: Any, places_N: Tensor) -> Tensor:
        """What the worth of each example is divided by: N.

        `places_N`: how many places each has, over which its worth is a sum.
        """
        ...


@final
@dataclass(frozen=True)
class Equal:
    """Each label costs 1."""

    def of(self, task: LabelTask, indices: Any) -> Tensor:
        """Ones: N."""
        return torch.ones(len(indices))

    def rates(self, task: LabelTask, indices: Any, places_N: Tensor) -> Tensor:
        """Ones: N."""
        return torch.ones(len(indices))


@final
@dataclass(frozen=True)
class ByLength:
    """A label costs as much as the example has tokens, 1 at least.

    Tokens are the places of the first integer input N×T… that are not 0, which is padding. Worth is
    divided by the tokens for each place: of a text with one class that is its length. Of a sentence
    to tag it is 1, since its worth is the sum over its tokens, which grows with the price already
    (their mean finds short oddities, and did worse than random choice on EWT).
    """

    def of(self, task: LabelTask, indices: Any) -> Tensor:
        """The number of tokens of each example: N.

        Raises ValueError where no input is of integers along two axes or more.
        """
        counts = [_tokens(task.inputs(chunk)) for chunk in chunks(indices)]
        return torch.cat([torch.zeros(0), *counts]).clamp(min=1)

    def rates(self, task: LabelTask, indices: Any, places_N: Tensor) -> Tensor:
        """The tokens for each place: N."""
        return self.of(task, indices) / places_N.clamp(min=1)


def _tokens(inputs: tuple[Tensor, ...]) -> Tensor:
    is_place = is_token(inputs, 1)
    ids = next((one for one in inputs if not one.is_floating_point() and one.ndim >= 2), None)
    if is_place is None or ids is None:
        raise ValueError(
            f"ByLength() counts the tokens of integer inputs N×T, and these have shapes "
            f"{[list(one.shape) for one in inputs]}: give the prices as Listed((...))"
        )
    full = is_token((ids,), ids.shape[1])
    assert full is not None
    return full.sum(1).float()


@final
@dataclass(frozen=True)
class Listed:
    """A price for each index of the pool.

    `values`: above 0; the first is that of index 0.

    Raises ValueError for a price that is not above 0.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(float(one) for one in self.values))
        for index, one in enumerate(self.values):
            if not 0 < one < math.inf:
                raise ValueError(
                    f"the price of index {index} is {one}: a price is a number above 0 (give what "
                    "is free a small one)"
                )

    def of(self, task: LabelTask, indices: Any) -> Tensor:
        """The prices at these indices: N; raises ValueError where the list has another length."""
        pool, known = (np.asarray(one) for one in (task.pool(), task.known()))
        least = 1 + int(max([-1, *pool[-1:], *np.asarray(indices)]))
        most = len(np.union1d(pool, known))
        if not least <= len(self.values) <= max(most, least):
            raise ValueError(
                f"there are {len(self.values)} prices and {most} examples, of which the pool needs "
                f"{least}: give one for each index of the pool, in the order of the indices"
            )
        return torch.tensor(self.values)[torch.as_tensor(np.asarray(indices), dtype=torch.long)]

    def rates(self, task: LabelTask, indices: Any, places_N: Tensor) -> Tensor:
        """The prices: N."""
        return self.of(task, indices)
