"""A function tried: what comes out differently when part of what goes in changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from shoestring.artifact import tree
from shoestring.kit.tracing.example import tensors


class Trial:
    """A function run again and again, one of its tensors changed in places."""

    def __init__(self, func: Callable, flat: list[Any], form: Any, marked: Sequence[int]) -> None:
        """`flat`, `form`: the arguments as a nest taken apart.

        `marked`: the places of those tensors that may be changed.
        """
        self.func, self.form, self.marked = func, form, frozenset(marked)
        self.generator, self.state = torch.Generator().manual_seed(0), torch.get_rng_state()
        # Not what the model computed: a channel that happens to be zero would hide what it is
        # multiplied by.
        self.flat = [
            self._small(one) if at in marked and one.is_floating_point() else one
            for at, one in enumerate(flat)
        ]

    def _small(self, one: Tensor) -> Tensor:
        return torch.rand(one.shape, generator=self.generator).mul_(0.25).add_(0.25).to(one.dtype)

    def run(self, flat: list[Any], value: Tensor) -> list[Tensor]:
        """What the function gives for these arguments, the tensor that is aimed at having another
        value.
        """
        copies = [one.clone() if isinstance(one, Tensor) else one for one in flat]
        copies[self.at] = value.clone(memory_format=torch.preserve_format)
        args, kwargs = tree.fill(self.form, copies)
        torch.default_generator.set_state(
            self.state
        )  # not by seeding, which asks where it was called from each time
        answer = self.func(*args, **kwargs)
        return [args[0]] if answer is None else tensors(answer)

    def aim(self, at: int, *, below: bool = False) -> None:
        """The tensor that is changed.

        From small numbers above zero to larger ones, and to ones below zero, so that neither a
        largest nor a smallest, nor a step at zero hides it. `below`: also while the others are
        below zero, as some weights ask.
        """
        one, self.at = self.flat[at], at
        if one.dtype == torch.bool:
            base = self._small(one.float()) < 0.375
            trials = [(self.flat, base, ~base)]
        else:
            trials = [
                (self.flat, one, self._small(one) + 0.35),
                (self.flat, one, -0.35 - self._small(one)),
            ]
        if below:
            others = [
                -each if place in self.marked and each.is_floating_point() else each
                for place, each in enumerate(self.flat)
            ]
            trials.append((others, one, trials[0][2]))
        self.trials = [(flat, base, other, self.run(flat, base)) for flat, base, other in trials]

    def changes(self, chosen: Tensor) -> list[Tensor]:
        """Of what comes out, which numbers change when the chosen ones that go in do."""
        found: list[Tensor] = []
        for flat, base, other, before in self.trials:
            after = self.run(flat, torch.where(chosen, other, base))
            now = [(a != b) & ~((a != a) & (b != b)) for a, b in zip(before, after, strict=True)]
            found = [one | new for one, new in zip(found, now, strict=True)] if found else now
        return found
