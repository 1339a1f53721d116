"""Magnitude pruning: the smallest weights become zero and stay zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import (
    Patterns,
    Ramp,
    Training,
    Weight,
    check_finite,
    clone,
    compressible,
    first_fit,
    recover,
    touched,
)


@dataclass(frozen=True)
class Global:
    """One threshold on |w| for all layers together."""

    def scores(self, values: Sequence[Tensor]) -> list[Tensor]:
        """The magnitude of each weight."""
        return [value.abs() for value in values]


@dataclass(frozen=True)
class LayerAdaptive:
    """One threshold on w² relative to its layer, so that no layer is emptied.

    Relative to the sum of the squares in its layer that are no smaller.
    Source: Lee, Park, Mo, Ahn & Shin 2021 (LAMP), section 2.
    """

    def scores(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Each squared weight as a share of what is left of its layer without all smaller ones."""
        scores: list[Tensor] = []
        for value in values:
            magnitudes, order = value.abs().flatten().sort(stable=True)
            squares = magnitudes.double().square()
            left = squares.flip(0).cumsum(0).flip(0).clamp_min(torch.finfo(torch.float64).tiny)
            scores.append(
                torch.empty_like(squares).scatter_(0, order, squares / left).view(value.shape)
            )
        return scores


@dataclass(frozen=True)
class PerLayer:
    """A threshold for each layer, so that each keeps its own share of its weights.

    `densities`: (pattern, density) pairs, densities above 0 and at most 1; `*` matches anything.
        The first pattern that matches a parameter's name counts; where none does, the technique's
        density.
    Raises ValueError for a density out of range.
    """

    densities: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for pattern, density in self.densities:
            if not 0 < density <= 1:
                raise ValueError(
                    f"the density of {pattern!r} is {density}: it must be above 0 and at most 1"
                )


@dataclass(frozen=True, kw_only=True)
class Magnitude(Technique):
    """Zero the smallest weights in rounds, and train the others with the mask held.

    Saves: bytes of the file (a zero costs a fraction of a bit).
    Costs: the time of `training`; score, slowly down to a density of about 0.1 and then faster.
    Source: Han, Pool, Tran & Dally 2015, section 3; the schedule is Zhu & Gupta 2017's cubic one,
    section 3.
    Differs: thresholds come from the density asked for, not from the spread of each layer; the
    model as it was is the teacher during recovery.

    `density`: the share of weights that is kept, above 0 and at most 1, of all parameters with two
        axes or more in the chosen layers.
    `criterion`: how weights are compared: LayerAdaptive(), Global() or PerLayer(...).
    `training`: steps of all rounds together; Training(0) prunes at once and trains nothing.
    `ramp`: the share of the training over which the mask grows, and in how many rounds.
    `only`, `keep`: patterns of names of layers that are pruned, and of those that are not; empty
        `only` means all layers.

    Raises ValueError for settings out of range, patterns that match no layer, and weights that are
    NaN or infinite.
    """

    stage: ClassVar = Stage.WEIGHTS
    strength: ClassVar = Strength(field="density", gentle=0.7, harsh=0.01, logarithmic=True)

    density: float = 0.1
    criterion: Global | LayerAdaptive | PerLayer = LayerAdaptive()
    training: Training = Training(2000)
    ramp: Ramp = Ramp(0.5, rounds=20)
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise ValueError(f"the density is {self.density}: it must be above 0 and at most 1")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model whose weights have masks."""
        check_finite(model)
        pruned = clone(model)
        weights = touched(compressible(pruned, "Magnitude"), self.only, self.keep, "Magnitude")
        start = [float((weight.value() != 0).double().mean()) for weight in weights]
        last, rounds = self.training.steps - 1, self.ramp.rounds
        if last < 0:
            self._tighten(weights, start, 1.0)
            return pruned
        progress_at = {
            round(self.ramp.share * last * number / rounds): number / rounds
            for number in range(1, rounds + 1)
        }

        def before_step(step: int) -> None:
            if step in progress_at:
                self._tighten(weights, start, progress_at[step])

        return recover(
            pruned,
            task,
            model,
            self.training,
            before_step=before_step,
            what="pruning",
            key=repr(self),
        )

    def _tighten(self, weights: Sequence[Weight], start: Sequence[float], progress: float) -> None:
        """Prune as far as the cubic schedule is at this point.

        `start`: the density of each weight before the first round; `progress`: 0 to 1.
        """
        left = (1 - progress) ** 3
        values = [weight.value() for weight in weights]
        if isinstance(self.criterion, PerLayer):
            for weight, value, first in zip(weights, values, start, strict=True):
                goal = min(first_fit(self.criterion.densities, weight.name, self.density), first)
                weight.prune(_largest(value.abs(), goal + (first - goal) * left))
            return
        sizes = [value.numel() for value in values]
        first = sum(size * share for size, share in zip(sizes, start, strict=True)) / max(
            sum(sizes), 1
        )
        goal = min(self.density, first)
        scores = self.criterion.scores(values)
        if scores:
            keep = _largest(
                torch.cat([score.flatten().double() for score in scores]),
                goal + (first - goal) * left,
            )
            for weight, mask in zip(weights, keep.split(sizes), strict=True):
                weight.prune(mask.view(weight.raw.shape))


def _largest(scores: Tensor, density: float) -> Tensor:
    """A mask of the largest scores, of this share of them but at least one.

    Of equal scores the first ones are in it.
    """
    flat = scores.flatten().double()
    keep = max(1, round(len(flat) * density))
    threshold = flat.kthvalue(len(flat) - keep + 1).values  # linear time; sorting is not
    mask = flat > threshold
    ties = (flat == threshold).nonzero().flatten()
    mask[ties[: keep - int(mask.sum())]] = True
    return mask.view(scores.shape)
