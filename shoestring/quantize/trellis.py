"""Rate-distortion optimised quantization of weights that are on levels already.

Weights move to a level that is cheaper to code where the loss allows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from shoestring.core import Stage, Strength, Task, Technique, batches, evaluating
from shoestring.kit import (
    Patterns,
    Weight,
    check_finite,
    clone,
    compressible,
    parameters_of,
    progress,
    taught,
    touched,
)
from shoestring.quantize.code_length import code_length, snap_to_grid


@dataclass(frozen=True, kw_only=True)
class Trellis(Technique):
    """Move weights to levels nearer to zero where that saves more bits than it costs in loss.

    Nothing is trained. It is for weights that other techniques left on levels or grids: run it
    last. Tensors with two axes or more that have neither are first rounded to a fine grid. Weights
    that are frozen are left alone. In each round a quadratic model of the loss (gradients, and
    squares of gradients as curvature) predicts what each move costs. The moves that pay are made
    together and the loss is measured. If together they cost more than they save, the curvature is
    corrected and fewer moves are made.

    Saves: bytes of the file.
    Costs: score, as much as `price` allows; `rounds` times twice `batches` batches of gradients or
    losses.
    Source: Wiedemann et al. 2020 (DeepCABAC), section 3.3, for the objective. Differs: a diagonal
    quadratic model for all weights at once and a measured loss, in place of a pass over the weights
    with the coder in the loop.

    `price`: of a bit, in units of the loss, above 0.
    `batches`: how many batches of the training split the loss is measured on, 1 or more.
    `rounds`: 1 or more; in each round a weight moves by one level at most.
    `coarseness`: the scale of tensors that had no levels, in their standard deviations, above 0.
    `only`, `keep`: patterns of names of layers whose weights may move, and of those whose may not;
        empty `only` means all layers.

    Raises ValueError for settings out of range, patterns that match no layer, and weights that are
    NaN or infinite.
    """

    stage: ClassVar = Stage.CODE
    strength: ClassVar = Strength(field="price", gentle=1e-7, harsh=1e-4, logarithmic=True)

    price: float = 1e-5
    batches: int = 40
    rounds: int = 8
    coarseness: float = 0.25
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not self.price > 0 or not self.coarseness > 0 or self.batches < 1 or self.rounds < 1:
            raise ValueError(
                f"price and coarseness must be above 0, batches and rounds 1 or more: {self}"
            )

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with weights moved."""
        check_finite(model)
        task = taught(task, model)
        moved = clone(model)
        parameters = [weight for weight in parameters_of(moved) if weight.is_parameter]
        free = {weight.name for weight in touched(parameters, self.only, self.keep, "Trellis")}
        for weight in compressible(moved, "Trellis"):
            if weight.name not in free:
                continue
            if weight.state is None and weight.raw.requires_grad and bool(weight.value().any()):
                value = weight.value().float()
                spread = value.std() if value.numel() > 1 else value.abs().max()
                weight.round(torch.maximum(self.coarseness * spread, value.abs().max() / 16384))
                snap_to_grid(weight)
        ladders = [
            Ladder(weight)
            for weight in parameters_of(moved)
            if weight.name in free and _has_levels(weight)
        ]
        data = list(islice(batches(task, "train", moved), self.batches))
        if not data:
            raise ValueError(
                "the task's training split has no batches: there is nothing to measure the loss on"
            )
        curvature = 1.0
        with evaluating(moved), progress("moving weights", self.rounds) as advance:
            loss, changes = _losses(moved, task, data, ladders)
            for _ in range(self.rounds):
                loss, curvature, done = self._round(
                    moved, task, data, ladders, loss, changes, curvature
                )
                advance(f"loss {loss:.4f}")
                if not done:
                    break
                loss, changes = _losses(moved, task, data, ladders)
        return moved

    def _round(
        self,
        model: nn.Module,
        task: Task,
        data: list[Any],
        ladders: list[Ladder],
        loss: float,
        changes: list[tuple[Tensor, Tensor]],
        curvature: float,
    ) -> tuple[float, float, bool]:
        """One round of moves.

        Returns (the loss after it, the corrected factor of the curvature, whether anything moved).
        """
        old_levels = [ladder.levels.clone() for ladder in ladders]
        lengths = [code_length(levels) for levels in old_levels]
        before = sum(bits for bits, _ in lengths)
        for _ in range(12):
            count, expected = 0, 0.0
            for ladder, levels, (_, saved), (slope, square) in zip(
                ladders, old_levels, lengths, changes, strict=True
            ):
                distance = ladder.lower(levels)
                cost = slope * distance + 0.5 * curvature * square * distance * distance
                chosen = (levels != 0) & (cost < self.price * saved) & ladder.free
                ladder.move(torch.where(chosen, levels - levels.sign(), levels))
                count += int(chosen.sum())
                expected += float(cost[chosen].sum())
            if not count:
                return loss, curvature, False
            after, _ = _losses(model, task, data)
            saved_bits = before - sum(code_length(ladder.levels)[0] for ladder in ladders)
            if after - loss <= self.price * saved_bits:
                return after, curvature, True
            curvature *= min(max((after - loss) / max(expected, 1e-12), 2.0), 1e3)
            for ladder, levels in zip(ladders, old_levels, strict=True):
                ladder.move(levels)
        return loss, curvature, False


def _has_levels(weight: Weight) -> bool:
    """Whether a weight has a scale or a codebook, and is not frozen."""
    state = weight.state
    return (
        state is not None
        and state.trainable
        and (state.scale is not None or state.codebook is not None)
    )


class Ladder:
    """The levels of one weight as integers: 0 for zero, and larger the further from zero."""

    def __init__(self, weight: Weight) -> None:
        self.weight = weight
        state = weight.state
        assert state is not None
        self.free = (
            torch.ones_like(weight.raw, dtype=torch.bool)
            if state.mask is None
            else state.mask.clone()
        )
        value = weight.value()
        if state.scale is not None:
            self.levels = (value / state.scale.detach()).round()
            return
        assert state.codebook is not None and state.indices is not None
        book = state.codebook.detach()
        above, below = book[book > 0].sort().values, book[book < 0].sort(descending=True).values
        self.values = torch.cat([below.flip(0), book.new_zeros(1), above])
        self.zero = len(below)
        self.levels = (torch.searchsorted(self.values, value.contiguous()) - self.zero).to(
            value.dtype
        )

    def lower(self, levels: Tensor) -> Tensor:
        """How far each value moves when its level comes one nearer to 0."""
        return self._value(levels - levels.sign()) - self._value(levels)

    def _value(self, levels: Tensor) -> Tensor:
        """The values of these levels."""
        state = self.weight.state
        assert state is not None
        if state.scale is not None:
            return levels * state.scale.detach() + 0.0
        return self.values[levels.long() + self.zero]

    @torch.no_grad()
    def move(self, levels: Tensor) -> None:
        """Put the weight on these levels."""
        self.levels = levels
        state, value = self.weight.state, self._value(levels)
        assert state is not None
        if state.scale is not None:
            self.weight.raw.copy_(value)
            return
        assert state.codebook is not None and state.indices is not None
        order = state.codebook.detach().argsort()
        nearest = torch.searchsorted(
            state.codebook.detach()[order].contiguous(), value.contiguous()
        ).clamp_max(len(order) - 1)
        state.indices.copy_(order[nearest].to(state.indices.dtype))
        if not bool((state.codebook == 0).any()):
            # A zero that is not in the codebook is a pruned weight.
            state.mask = self.free & (value != 0)


def _losses(
    model: nn.Module, task: Task, data: list[Any], ladders: list[Ladder] | None = None
) -> tuple[float, list[tuple[Tensor, Tensor]]]:
    """(The mean loss, gradients of the ladders).

    The gradients are pairs: the mean and the mean square of the gradients of the values, each in
    the shape of the weight. Without ladders, the mean loss alone and an empty list.
    """
    if ladders is None:
        with torch.no_grad():
            return sum(float(task.loss(model, batch)) for batch in data) / len(data), []
    sums = [
        (torch.zeros_like(ladder.weight.raw), torch.zeros_like(ladder.weight.raw))
        for ladder in ladders
    ]
    total = 0.0
    for batch in data:
        # Within `cached` a weight is computed once per owner: its gradient is the sum of theirs.
        with parametrize.cached():
            values = [[getattr(*owner) for owner in ladder.weight.owners] for ladder in ladders]
            loss = task.loss(model, batch)
            gradients = torch.autograd.grad(
                loss, [value for owners in values for value in owners], allow_unused=True
            )
        total += float(loss.detach())
        remaining = iter(gradients)
        for (mean, mean_square), owners in zip(sums, values, strict=True):
            parts = [part for part in islice(remaining, len(owners)) if part is not None]
            if parts:
                gradient = torch.stack(parts).sum(0)
                mean += gradient
                mean_square += gradient.square()
    return total / len(data), [
        (mean / len(data), mean_square / len(data)) for mean, mean_square in sums
    ]
