"""gradient_health: how much of a batch's gradient is noise, and so how large batches may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task, batches, check_task, seeded
from shoestring.kit import DivergedError, Training
from shoestring.kit.training.steps import Steps
from shoestring.kit.weights.buffers import copies_of_buffers, restore_buffers
from shoestring.kit.weights.copying import clone_in_training

BATCHES = 32
"""Training batches that are looked at, where nobody gives a number."""
_PASSED = 4
"""So many times as many are read at most, where some have fewer rows than the first."""


@dataclass(frozen=True, kw_only=True)
class GradientNoise:
    """The gradients of one parameter, or of all together, over some batches.

    `name`: of the parameter; "all" for all together.
    `noise_scale`: the examples in a batch whose gradient is half noise, 0 or more: the variance of
        an example's gradient, added up over the weights, over the square of the true gradient's
        norm. inf where no true gradient is told from the noise; None where all gradients were 0.
    `low`, `high`: two standard errors of its inverse to each side, by the jackknife over batches.
    `zeros`: the share of weights whose gradient in a batch is 0, on average of the batches, 0 to 1.
    `to_weights`: the norm of the mean gradient over that of the weights; inf for weights of 0.
    """

    name: str
    noise_scale: float | None
    low: float | None
    high: float | None
    zeros: float
    to_weights: float


@dataclass(frozen=True, kw_only=True)
class GradientHealth:
    """What `gradient_health` tells; `print` shows a table.

    `whole`: of all parameters together. `parameters`: of each, in the order of the model.
    `batches`: that were looked at. `size`: examples in each.
    """

    whole: GradientNoise
    parameters: tuple[GradientNoise, ...]
    batches: int
    size: int

    def __str__(self) -> str:
        lines = [
            f"{self.batches} batches of {self.size} examples",
            f"{'parameter':32} {'noise scale':>12} {'from':>9} {'to':>9} {'zeros':>7} "
            f"{'gradient/weights':>17}",
        ]
        for one in (self.whole, *self.parameters):
            scales = [_shown(number) for number in (one.noise_scale, one.low, one.high)]
            lines.append(
                f"{one.name:32} {scales[0]:>12} {scales[1]:>9} {scales[2]:>9} {one.zeros:7.1%} "
                f"{one.to_weights:17.3g}"
            )
        return "\n".join(lines)


def gradient_health(
    model: nn.Module,
    task: Task,
    *,
    training: Training = Training(),
    looked_at: int = BATCHES,
    size: int | None = None,
    seed: int = 0,
) -> GradientHealth:
    """From which batch on larger batches are wasted: the gradient noise scale, and zero gradients.

    Batches much smaller than the noise scale learn as much from each example whatever their size,
    so that k workers are nearly k times as fast. Much larger ones learn no more in a step. At the
    noise scale a training needs twice the steps of the largest batches, and twice the examples of
    the smallest. It is of the model as it is and grows while it is trained, often manyfold: look
    at it at the beginning, and again near the end. Dead units and vanishing gradients are what
    `shoestring.diagnose` looks for.

    The gradients of single batches and that of their mean are the two batch sizes of the estimate.
    Each batch is run forwards and back twice, so that only one gradient is kept besides. The model
    stays as it was, and so do random numbers.

    Source: McCandlish, Kaplan, Amodei et al. 2018, "An empirical model of large-batch training",
    sections 2.2 and 2.3, appendix A.1 (the simple noise scale).
    Differs: an interval, by the jackknife.

    `training`: its precision is that of the losses; nothing is trained.
    `looked_at`: training batches, of one pass at most, 3 or more. Those that have fewer rows than
        the first, as the last of a pass may, are left out.
    `size`: examples in a batch, over which the loss is a mean; None: the rows of its first tensor.
    `seed`: of the batches and of what is random in the loss.

    Raises ValueError for numbers out of range, for fewer than 3 batches, for batches without
    tensors where `size` is None, for a model without a parameter that learns and for a training
    with workers; DivergedError for a loss that is NaN or infinite.
    """
    check_task(task)
    for name, value, least in (
        ("looked_at", looked_at, 3),
        ("size", 1 if size is None else size, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: give an integer, {least} or more")
    training.check_alone("gradient_health")
    if not any(one.requires_grad for one in model.parameters()):
        raise ValueError("the model has no parameter that learns: there is no gradient to look at")
    copy = clone_in_training(model)
    with seeded(seed):
        given = islice(batches(task, "train", copy), _PASSED * looked_at)  # it may be endless
        shown = list(islice(_alike(given), looked_at))
    if len(shown) < 3:
        raise ValueError(
            f"the training split has {len(shown)} batches alike: 3 or more are needed, so give the "
            "task a smaller batch"
        )
    if size is None and not (size := _rows(shown[0])):
        raise ValueError("the batches have no tensors with rows: say how many examples, size=...")
    return _Read(copy, task, training, seed).health(shown, size)


class _Read:
    """Gradients of batches: first their sizes and their mean, then how each is along the mean."""

    def __init__(self, model: nn.Module, task: Task, training: Training, seed: int) -> None:
        self.stepping, self.seed = Steps(model, task, training), seed
        self.names = [name for name, p in model.named_parameters() if p.requires_grad]
        self.kept = copies_of_buffers(model)

    def health(self, shown: list[Any], size: int) -> GradientHealth:
        """The table of these batches."""
        means = [torch.zeros_like(p) for p in self.stepping.parameters]
        squares, zeros, along = [], [], []
        for gradients in self.gradients(shown):
            squares.append([_along(one, one) for one in gradients])
            zeros.append([int((one == 0).sum()) for one in gradients])
            for mean, one in zip(means, gradients, strict=True):
                mean.add_(one, alpha=1 / len(shown))
        for gradients in self.gradients(shown):
            along.append([_along(*pair) for pair in zip(gradients, means, strict=True)])
        weights = [_along(p.detach(), p.detach()) for p in self.stepping.parameters]
        counts = [p.numel() for p in self.stepping.parameters]
        mean_squares = [_along(one, one) for one in means]

        def told(name: str, which: slice) -> GradientNoise:
            length = math.sqrt(sum(mean_squares[which]))
            norm = math.sqrt(sum(weights[which]))
            scale, low, high = noise_scale(
                [sum(one[which]) for one in squares],
                [sum(one[which]) for one in along],
                sum(mean_squares[which]),
                size,
            )
            return GradientNoise(
                name=name,
                noise_scale=scale,
                low=low,
                high=high,
                zeros=sum(sum(one[which]) for one in zeros) / len(shown) / sum(counts[which]),
                to_weights=length / norm if norm else math.inf,
            )

        return GradientHealth(
            whole=told("all", slice(None)),
            parameters=tuple(
                told(name, slice(place, place + 1)) for place, name in enumerate(self.names)
            ),
            batches=len(shown),
            size=size,
        )

    def gradients(self, shown: list[Any]) -> Iterator[list[Tensor]]:
        """The gradients of each batch, the same in each call; zeros where none came."""
        stepping = self.stepping
        for number, batch in enumerate(shown):
            restore_buffers(stepping.model, self.kept)
            with seeded(self.seed + number):
                loss = stepping.backward(batch)
            if not math.isfinite(loss):
                raise DivergedError(
                    f"the loss of batch {number} is {loss}: shoestring.diagnose(model, task) says "
                    "where that begins"
                )
            yield [torch.zeros_like(p) if p.grad is None else p.grad for p in stepping.parameters]


def noise_scale(
    squares: list[float], along: list[float], mean_square: float, size: int
) -> tuple[float | None, float | None, float | None]:
    """The simple noise scale in examples, and the ends of its interval; None for no gradients.

    `squares`: the squared norm of each batch's gradient, 3 or more of them.
    `along`: the product of each with the mean gradient. `mean_square`: the squared norm of that.
    `size`: examples in a batch.
    """
    total, count = sum(squares), len(squares)
    if not total:
        return None, None, None
    ratio = _signal(total, mean_square, count, size)
    others = [
        _signal(
            total - square,
            (count**2 * mean_square - 2 * count * product + square) / (count - 1) ** 2,
            count - 1,
            size,
        )
        for square, product in zip(squares, along, strict=True)
    ]
    if math.isinf(ratio) or any(map(math.isinf, others)):  # batches that do not differ
        return _inverse(ratio), 0.0, _inverse(min(others))
    mean = sum(others) / count
    error = math.sqrt((count - 1) / count * sum((one - mean) ** 2 for one in others))
    return _inverse(ratio), _inverse(ratio + 2 * error), _inverse(ratio - 2 * error)


def _signal(total: float, mean_square: float, count: int, size: int) -> float:
    """|G|²/S: the true gradient's square over the variance of an example's, both unbiased."""
    true = (count * mean_square - total / count) / (count - 1)
    variance = size * (total - count * mean_square) / (count - 1)
    return true / variance if variance > 1e-12 * size * total else math.inf


def _inverse(ratio: float) -> float:
    return 1 / ratio if ratio > 0 else math.inf


def _along(one: Tensor, other: Tensor) -> float:
    """The product of two gradients, in double precision."""
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    return float((one.double() * other.double()).sum())


def _alike(given: Iterable[Any]) -> Iterator[Any]:
    """The batches with as many rows as the first; others are passed over."""
    rows = None
    for batch in given:
        rows = _rows(batch) if rows is None else rows
        if _rows(batch) == rows:
            yield batch


def _rows(batch: Any) -> int:
    """The rows of the first tensor of a batch; 0 where there is none."""
    found = (len(x) for x in tree.leaves(batch) if isinstance(x, Tensor) and x.ndim)
    return next(found, 0)


def _shown(number: float | None) -> str:
    return "none" if number is None else f"{number:,.3g}" if number < 1e3 else f"{number:,.0f}"
