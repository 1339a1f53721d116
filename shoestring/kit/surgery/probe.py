"""Probing a function: which outputs change when part of one input changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from shoestring.artifact import tree
from shoestring.kit.tracing.example import tensors


class Probe:
    """A function that is run again and again while parts of one of its tensors change."""

    def __init__(
        self, function: Callable, leaves: list[Any], structure: Any, marked: Sequence[int]
    ) -> None:
        """Prepare the arguments of a function.

        `leaves`, `structure`: the arguments (args, kwargs), as `tree.flatten` gives them.
        `marked`: indices of the leaves that may be changed.
        """
        self.function, self.structure, self.marked = function, structure, frozenset(marked)
        self.generator, self.random_state = torch.Generator().manual_seed(0), torch.get_rng_state()
        # Random values in place of those that the model computed: a channel that happens to be
        # zero would hide what it is multiplied by.
        self.leaves = [
            self._small(leaf) if index in marked and leaf.is_floating_point() else leaf
            for index, leaf in enumerate(leaves)
        ]

    def _small(self, like: Tensor) -> Tensor:
        """Random values from 0.25 to 0.5."""
        return torch.rand(like.shape, generator=self.generator).mul_(0.25).add_(0.25).to(like.dtype)

    def run(self, leaves: list[Any], value: Tensor) -> list[Tensor]:
        """The function's results for these arguments, with `value` for the tensor aimed at."""
        copies = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        copies[self.target] = value.clone(memory_format=torch.preserve_format)
        args, kwargs = tree.fill(self.structure, copies)
        # Not torch.manual_seed(), which looks up its caller each time.
        torch.default_generator.set_state(self.random_state)
        answer = self.function(*args, **kwargs)
        return [args[0]] if answer is None else tensors(answer)

    def aim(self, index: int, *, negative: bool = False) -> None:
        """Choose the leaf to change.

        It changes from small positive values to larger ones, and to negative ones, so that neither
        a maximum nor a minimum nor a step at zero hides the change.
        `negative`: also change it while the other marked tensors are negative.
        """
        leaf, self.target = self.leaves[index], index
        if leaf.dtype == torch.bool:
            base = self._small(leaf.float()) < 0.375
            runs = [(self.leaves, base, ~base)]
        else:
            runs = [
                (self.leaves, leaf, self._small(leaf) + 0.35),
                (self.leaves, leaf, -0.35 - self._small(leaf)),
            ]
        if negative:
            negated = [
                -other if at in self.marked and other.is_floating_point() else other
                for at, other in enumerate(self.leaves)
            ]
            runs.append((negated, leaf, runs[0][2]))
        self.runs = [
            (leaves, base, changed, self.run(leaves, base)) for leaves, base, changed in runs
        ]

    def changes(self, chosen: Tensor) -> list[Tensor]:
        """Which elements of each result change when the chosen elements of the target do, bool.

        `chosen`: bool, of the target's shape.
        """
        total: list[Tensor] = []
        for leaves, base, changed, before in self.runs:
            after = self.run(leaves, torch.where(chosen, changed, base))
            now = [(a != b) & ~((a != a) & (b != b)) for a, b in zip(before, after, strict=True)]
            total = [old | new for old, new in zip(total, now, strict=True)] if total else now
        return total
