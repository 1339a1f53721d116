"""Marks: one integer for each slice of a weight, united where slices must go together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from shoestring.kit.weights.parameters import Parameters, Weight

FIXED = 1
"""The mark of slices that must stay. A mark of 0 means no mark."""

WeightAxis = tuple[int, int]
"""The index of a weight among the model's parameters, and one of its axes."""


class Marks:
    """Sets of marks (a union-find): two slices depend on each other where their roots are equal.

    `parameters`: those of the model.
    `reasons`: why a weight must not be cut, by its index. Its slices are united with FIXED.
    """

    def __init__(self, parameters: Parameters, stay: Callable[[Weight], str]) -> None:
        """`stay`: why a weight must not be cut; "" where it may be."""
        self.parameters = parameters
        self.reasons = {
            index: reason for index, weight in enumerate(parameters) if (reason := stay(weight))
        }
        self._first: dict[WeightAxis, int] = {}  # the mark of the first slice
        self._parents = np.arange(2)

    def slices(self, index: int, axis: int) -> Tensor:
        """The marks of a weight's slices along an axis, (slices,); new ones at the first call."""
        size, key = self.parameters[index].raw.shape[axis], (index, axis)
        if key not in self._first:
            self._first[key] = len(self._parents)
            self._parents = np.append(self._parents, np.arange(size) + len(self._parents))
            if index in self.reasons:
                self.fix(self._range(key, size))
        return self._range(key, size)

    def _range(self, key: WeightAxis, size: int) -> Tensor:
        return torch.arange(self._first[key], self._first[key] + size)

    def roots(self, marks: Tensor) -> Tensor:
        """The root of each mark; united marks have the same root."""
        while True:
            parents = self._parents[self._parents]
            if (parents == self._parents).all():
                return torch.from_numpy(parents)[marks]
            self._parents = parents

    def unite(self, first: Tensor, second: Tensor) -> None:
        """Unite two tensors of marks, broadcast, element by element; a mark of 0 is skipped."""
        first, second = torch.broadcast_tensors(first, second)
        both = (first != 0) & (second != 0) & (first != second)
        if not both.any():
            return
        for a, b in distinct_pairs(first[both], second[both]):
            low, high = sorted((self._root(a), self._root(b)))
            self._parents[high] = low

    def _root(self, mark: int) -> int:
        while self._parents[mark] != mark:
            mark = int(self._parents[mark])
        return mark

    def fix(self, marks: Tensor) -> None:
        """Record that the slices with these marks must stay."""
        self.unite(marks, torch.tensor(FIXED))

    def removable(self) -> dict[int, list[tuple[WeightAxis, int]]]:
        """The (weight axis, index of the slice) of all slices that may go, by their root."""
        slices: dict[int, list[tuple[WeightAxis, int]]] = {}
        for weight, axis in self._first:
            for index, mark in enumerate(self.roots(self.slices(weight, axis)).tolist()):
                slices.setdefault(mark, []).append(((weight, axis), index))
        slices.pop(int(self.roots(torch.tensor(FIXED))), None)
        return slices


def distinct_pairs(first: Tensor, second: Tensor) -> list[list[int]]:
    """The distinct pairs of elements at the same index of two tensors, in ascending order."""
    span = int(second.max()) + 1 if len(second) else 1
    codes = torch.unique(first.long() * span + second)
    return torch.stack([codes // span, codes % span], 1).tolist()
