"""Rate-distortion training: the length of the coded weights is part of the loss."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique, View
from shoestring.kit import (
    Patterns,
    SkippedWarning,
    Training,
    Weight,
    check_finite,
    clone,
    compressible,
    remove_dead_units,
    settle_batch_norm,
    taught,
    touched,
    train,
)
from shoestring.quantize.code_length import code_length, snap_to_grid
from shoestring.quantize.granularity import PerChannel, PerTensor
from shoestring.quantize.toward import Course, Toward, remove_course

_EVERY = 20  # steps after which the bits are counted anew
_FINEST = 64  # the finest grid at the start has a scale this many times below `coarseness`


@dataclass(frozen=True, kw_only=True)
class Rate(Technique):
    """Train weights on learned grids, with the bits that they take as part of the loss.

    The loss is that of the task + price × bits. Every weight is rounded to a multiple of a scale
    that is learned too. The bits of a weight are estimated from the weights themselves: whether it
    is zero, by the density of its row and its column; its sign; its magnitude. So the loss empties
    whole rows and columns, and the units that are dead then are removed. In a last, shorter phase
    batch norm becomes a scale and a shift per channel, and these are rounded likewise.

    Saves: bytes of the file, ten times and more than weight sharing does.
    Costs: score, as much as `price` allows; the time of `training`.
    Source: Oktay et al. 2020 (scalable model compression by entropy-penalised reparameterisation)
    for the loss; Esser et al. 2020 (LSQ) for the scales. Differs: no learned prior; the entropy
    model is that of the coder, with its contexts, fitted anew every 20 steps, and the weights get
    the gradient of its lengths.

    `price`: of a bit, in units of the loss, above 0; or Toward(bytes), whatever price takes the
        weights to that size. The price of the description length is log(2) / the number of training
        examples.
    `training`: of 1 step or more, and a fifth more where there is batch norm.
    `rise`: the share of the training over which the price rises from 0, 0 to 1.
    `coarseness`: the scale at the start, in standard deviations of a tensor, above 0; with Toward
        less, where the weights would begin below its bytes.
    `granularity`: PerTensor() or PerChannel().
    `only`, `keep`: patterns of names of layers whose weights are put on grids, and of those whose
        are not (they are trained too); empty `only` means all layers.

    Hidden units may change their order. Weights that are frozen are left alone, with a
    SkippedWarning.
    Raises ValueError for settings out of range, patterns that match no layer, and weights that are
    NaN or infinite.
    """

    stage: ClassVar = Stage.WEIGHTS
    strength: ClassVar = Strength(field="price", gentle=1e-7, harsh=1e-3, logarithmic=True)

    price: float | Toward = 1e-5
    training: Training = Training(10_000)
    rise: float = 0.5
    coarseness: float = 2.0
    granularity: PerTensor | PerChannel = PerTensor()
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not ((isinstance(self.price, Toward) or self.price > 0) and self.coarseness > 0):
            raise ValueError(f"price and coarseness must be above 0: {self}")
        if self.training.steps < 1 or not 0 <= self.rise <= 1:
            raise ValueError(f"training must have 1 step or more, and rise is from 0 to 1: {self}")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model whose weights are multiples of scales, smaller where units died."""
        check_finite(model)
        task = taught(task, model)
        rated = clone(model)
        norms = {
            id(parameter)
            for part in rated.modules()
            if _is_norm(part)
            for parameter in part.parameters(recurse=False)
        }
        weights = touched(_trainable(rated), self.only, self.keep, "Rate")
        first = [w for w in weights if id(w.raw) not in norms]
        self._train(rated, task, first, self.training, self.rise, fine=False)
        if norms:
            if not rated.training:  # as train() does: parts in evaluation mode may stay so
                rated.train()
            settle_batch_norm(rated)
            self._train(rated, task, weights, _shorter(self.training), 0.0, fine=True)
        remove_course(rated)
        for weight in weights:
            snap_to_grid(weight)
        modes = {name: part.training for name, part in model.named_modules()}
        rated = remove_dead_units(rated, task)
        for name, part in rated.named_modules():
            part.training = modes.get(name, model.training)
        return rated

    def toward(self, size: float) -> Rate:
        """The same, with the price steered so that the weights take this many bytes."""
        return replace(self, price=Toward(size))

    def _train(
        self,
        model: nn.Module,
        task: Task,
        weights: list[Weight],
        training: Training,
        rise: float,
        *,
        fine: bool,
    ) -> None:
        """Train the weights on grids; `fine`: the last phase, after batch norm."""
        fresh = [weight for weight in weights if weight.state is None or weight.state.scale is None]
        coarseness = self._coarseness(fresh, fine=fine)
        for weight in fresh:
            weight.round(self._first_scale(weight, coarseness, fine=fine))
        priced = Priced(task, [Price(weight) for weight in weights])
        course = (
            Course(self.price, len(weights), training.steps, rise, model)
            if isinstance(self.price, Toward)
            else None
        )
        # A divisor of 100, the interval of the snapshots of a training: a resumed one then counts
        # the same bits.
        every = (
            _EVERY
            if course is None
            else max(n for n in (1, 2, 4, 5, 10, _EVERY) if n <= max(1, training.steps // 20))
        )

        def before_step(step: int) -> None:
            if step % every == 0:
                for price in priced.prices:
                    price.read()
                if course is not None:
                    course.steer(step, sum(price.bits for price in priced.prices))
            if course is not None:
                priced.price = course.price
            elif not isinstance(self.price, Toward):
                priced.price = self.price * min(1.0, step / max(1.0, rise * training.steps))

        train(
            model,
            priced,
            training,
            before_step=before_step,
            what="training for the rate",
            key=repr(self),
        )

    def _coarseness(self, weights: list[Weight], *, fine: bool) -> float:
        """The coarseness to begin with.

        With Toward it is halved until the weights begin with at least its bytes, since a course
        leads down.
        """
        coarseness = self.coarseness
        if isinstance(self.price, Toward) and not fine:
            while (
                coarseness > self.coarseness / _FINEST
                and self._bits(weights, coarseness) < 8 * self.price.bytes
            ):
                coarseness /= 2
        return coarseness

    def _bits(self, weights: list[Weight], coarseness: float) -> float:
        """The bits of the weights at this coarseness."""
        scales = [self._first_scale(weight, coarseness, fine=False) for weight in weights]
        return sum(
            code_length((weight.value() / scale).round())[0]
            for weight, scale in zip(weights, scales, strict=True)
        )

    def _first_scale(self, weight: Weight, coarseness: float, *, fine: bool) -> Tensor:
        """The scale that a weight begins with, in the shape of the granularity."""
        value = weight.value().float()
        if fine and bool(value.any()):
            # A norm's scales or shifts: their size matters, and a few large ones say nothing.
            return value[value != 0].abs().median() / 8
        shape = self.granularity(value)
        parts = value.reshape(math.prod(shape), -1)
        spread = parts.std(1) if parts.shape[1] > 1 else parts.abs().squeeze(1)
        largest = value.abs().max()
        # Equal values (the ones of a new norm) have no spread; zeros have no size.
        least = torch.where(largest > 0, largest / 128, 1 / 64)
        return (coarseness * spread).clamp_min(least).reshape(shape)


def _shorter(training: Training) -> Training:
    """The training of the last phase: a fifth of the steps at a fifth of the learning rate."""
    slower = replace(training.optimizer, learning_rate=training.optimizer.learning_rate / 5)
    return replace(training, steps=max(1, training.steps // 5), optimizer=slower)


def _trainable(model: nn.Module) -> list[Weight]:
    """The weights to train; frozen ones are left out and named in a SkippedWarning."""
    weights = compressible(model, "Rate", axes=1)
    frozen = [
        weight.name
        for weight in weights
        if not (weight.raw.requires_grad if weight.state is None else weight.state.trainable)
    ]
    if frozen:
        warnings.warn(
            f"Rate left {', '.join(frozen)} alone: frozen (requires_grad=False)",
            SkippedWarning,
            stacklevel=4,
        )
    return [weight for weight in weights if weight.name not in frozen]


def _is_norm(part: nn.Module) -> bool:
    """Whether it is a batch norm with statistics and with a scale and a shift."""
    return (
        isinstance(part, nn.modules.batchnorm._BatchNorm)
        and part.track_running_stats
        and part.affine
    )


class Price:
    """The bits of one tensor, as a function of its weights.

    Between multiples of the scale the bits are interpolated linearly, so that the slope is the
    price of one multiple more.
    """

    def __init__(self, weight: Weight) -> None:
        self.weight = weight
        self.slope = torch.zeros_like(weight.raw, dtype=torch.float32)
        self.bits = 0.0

    @torch.no_grad()
    def read(self) -> None:
        """Count the bits anew."""
        self.bits, slope = code_length((self.weight.value() / self._scale()).round_())
        # Pruned weights cost nothing more.
        self.slope.copy_(slope if self.weight.mask is None else slope * self.weight.mask)

    def __call__(self) -> Tensor:
        """The bits, up to a constant, as a function of the weights and the scale."""
        return _Line.apply(self.weight.raw, self._scale(), self.slope)  # pyright: ignore[reportReturnType]

    def _scale(self) -> Tensor:
        state = self.weight.state
        assert state is not None and state.scale is not None
        return state.scale


class _Line(torch.autograd.Function):
    """Σ slope × |value| / scale."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: Tensor, slope: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A scalar."""
        # In single precision: half precision could not hold the sums.
        weighted = slope.copysign(value).div_(scale)
        ctx.save_for_backward(value, scale, weighted)
        return (weighted * value).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the value and of the scale."""
        value, scale, weighted = ctx.saved_tensors
        of_scale = -(weighted * value).sum_to_size(scale.shape) / scale * gradients[0]
        largest = torch.finfo(scale.dtype).max
        return (
            (weighted * gradients[0]).to(value.dtype),
            of_scale.clamp(-largest, largest).to(scale.dtype),
            None,
        )


@final
@dataclass(eq=False)
class Priced(View):
    """A task whose loss includes the price of the bits of the weights."""

    task: Task
    prices: list[Price]
    price: float = 0.0

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch) + self.price * sum(bits() for bits in self.prices)
