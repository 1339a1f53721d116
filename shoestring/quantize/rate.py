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
from shoestring.quantize.code_length import code_length, settle
from shoestring.quantize.granularity import PerChannel, PerTensor
from shoestring.quantize.toward import Course, Toward, leave

_EVERY = 20  # steps after which the weights are counted anew
_FINEST = 64  # times as fine as the field says is as fine as a grid begins


@dataclass(frozen=True, kw_only=True)
class Rate(Technique):
    """Train weights on learned grids with the bits that they will take in the loss.

    Task + price × bits.
    Every weight is rounded to a multiple of a step that is learned too. What a weight costs is read
    off the weights themselves: zero or not, by how full its row and its column are; a sign; a
    magnitude. So the loss empties whole rows and columns, and the units that this leaves dead are
    removed. Batch norm is made a scale and a shift per channel in a last, shorter phase, and these
    are rounded likewise.
    Saves: bytes of the file, ten times and more than sharing levels does.
    Costs: score, as much as `price` allows; the time of `training`.
    Source: Oktay et al. 2020 (scalable model compression by entropy-penalised reparameterisation)
    for the loss; Esser et al. 2020 (LSQ) for the steps. Differs: no learned prior; the entropy
    model is the one of the coder, with its contexts, counted anew every 20 steps, and its slope is
    what the weights feel.

    Hidden units may come in another order. Weights that are frozen are left alone, with a
    SkippedWarning.
    `price`: of a bit, in units of the loss, above 0 (the logarithm of 2 over the number of training
        examples is the description length's own price), or Toward(bytes): whatever price takes the
        weights there.
    `training`: of 1 step or more, and a fifth more where there is batch norm.
    `rise`: the share of the training over which the price rises from 0, 0 to 1.
    `coarseness`: the step at the start, in standard deviations of a tensor; with Toward less, where
        the weights would begin below its bytes.
    `granularity`: PerTensor() or PerChannel().
    `only`, `keep`: patterns of names of layers, those whose weights are put on grids and those
        whose are not (they train on); empty `only` is all of them. Raises ValueError for settings
        out of range, names of no layer, and weights that are NaN or infinite.
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
        """A copy of the model whose weights are multiples of steps, smaller where units died."""
        check_finite(model)
        task = taught(task, model)
        rated = clone(model)
        norms = {
            id(one)
            for part in rated.modules()
            if _is_norm(part)
            for one in part.parameters(recurse=False)
        }
        weights = touched(_trainable(rated), self.only, self.keep, "Rate")
        first = [w for w in weights if id(w.raw) not in norms]
        self._train(rated, task, first, self.training, self.rise, fine=False)
        if norms:
            if (
                not rated.training
            ):  # as train() does; what is frozen in a model that trains stays so
                rated.train()
            settle_batch_norm(rated)
            self._train(rated, task, weights, _shorter(self.training), 0.0, fine=True)
        leave(rated)
        for weight in weights:
            settle(weight)
        modes = {name: part.training for name, part in model.named_modules()}
        rated = remove_dead_units(rated, task)
        for name, part in rated.named_modules():
            part.training = modes.get(name, model.training)
        return rated

    def toward(self, size: float) -> Rate:
        """The same, its price steered so that the weights take so many bytes."""
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
        fresh = [weight for weight in weights if weight.state is None or weight.state.scale is None]
        coarseness = self._coarseness(fresh, fine=fine)
        for weight in fresh:
            weight.round(self._first_step(weight, coarseness, fine=fine))
        priced = Priced(task, [Price(weight) for weight in weights])
        course = (
            Course(self.price, len(weights), training.steps, rise, model)
            if isinstance(self.price, Toward)
            else None
        )
        # A divisor of 100, at which trainings are kept to be resumed: what is counted then is what
        # it was.
        every = (
            _EVERY
            if course is None
            else max(one for one in (1, 2, 4, 5, 10, _EVERY) if one <= max(1, training.steps // 20))
        )

        def before_step(step: int) -> None:
            if step % every == 0:
                for one in priced.prices:
                    one.read()
                if course is not None:
                    course.steer(step, sum(one.bits for one in priced.prices))
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
        """That of the field; where a number of bytes is the goal so fine that the weights begin at
        it or above: a course leads down.
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
        steps = [self._first_step(one, coarseness, fine=False) for one in weights]
        return sum(
            code_length((one.value() / step).round())[0]
            for one, step in zip(weights, steps, strict=True)
        )

    def _first_step(self, weight: Weight, coarseness: float, *, fine: bool) -> Tensor:
        value = weight.value().float()
        if fine and bool(
            value.any()
        ):  # a norm's scale or shift: it works by its size, and a few large ones say nothing
            return value[value != 0].abs().median() / 8
        shape = self.granularity(value)
        parts = value.reshape(math.prod(shape), -1)
        spread = parts.std(1) if parts.shape[1] > 1 else parts.abs().squeeze(1)
        largest = value.abs().max()
        # Equal values (the ones of a new norm) have no spread, zeros no size.
        least = torch.where(largest > 0, largest / 128, 1 / 64)
        return (coarseness * spread).clamp_min(least).reshape(shape)


def _shorter(training: Training) -> Training:
    """The last phase: a fifth of the steps at a fifth of the rate."""
    slower = replace(training.optimizer, learning_rate=training.optimizer.learning_rate / 5)
    return replace(training, steps=max(1, training.steps // 5), optimizer=slower)


def _trainable(model: nn.Module) -> list[Weight]:
    """The weights to train; those that are frozen are left alone, by name."""
    found = compressible(model, "Rate", axes=1)
    frozen = [
        w.name for w in found if not (w.raw.requires_grad if w.state is None else w.state.trainable)
    ]
    if frozen:
        warnings.warn(
            f"Rate left {', '.join(frozen)} alone: frozen (requires_grad=False)",
            SkippedWarning,
            stacklevel=4,
        )
    return [w for w in found if w.name not in frozen]


def _is_norm(part: nn.Module) -> bool:
    return (
        isinstance(part, nn.modules.batchnorm._BatchNorm)
        and part.track_running_stats
        and part.affine
    )


class Price:
    """What the bits of one tensor cost, read off its weights as they are.

    Between whole multiples of the step the cost is a straight line, so that its slope says what a
    multiple more would cost.
    """

    def __init__(self, weight: Weight) -> None:
        self.weight = weight
        self.slope = torch.zeros_like(weight.raw, dtype=torch.float32)
        self.bits = 0.0

    @torch.no_grad()
    def read(self) -> None:
        """Count the weights anew."""
        self.bits, slope = code_length((self.weight.value() / self._step()).round_())
        self.slope.copy_(
            slope if self.weight.mask is None else slope * self.weight.mask
        )  # what is pruned costs nothing more

    def __call__(self) -> Tensor:
        """The bits, up to a constant, as a function of the weights and the step."""
        return _Line.apply(self.weight.raw, self._step(), self.slope)  # pyright: ignore[reportReturnType]

    def _step(self) -> Tensor:
        state = self.weight.state
        assert state is not None and state.scale is not None
        return state.scale


class _Line(torch.autograd.Function):
    """Σ slope × |value| / step."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, step: Tensor, slope: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A number."""
        weighted = slope.copysign(value).div_(
            step
        )  # in single precision: half could not hold the sums
        ctx.save_for_backward(value, step, weighted)
        return (weighted * value).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the value and of the step."""
        value, step, weighted = ctx.saved_tensors
        by_step = -(weighted * value).sum_to_size(step.shape) / step * gradients[0]
        most = torch.finfo(step.dtype).max
        return (
            (weighted * gradients[0]).to(value.dtype),
            by_step.clamp(-most, most).to(step.dtype),
            None,
        )


@final
@dataclass(eq=False)
class Priced(View):
    """A task whose loss also asks for the bits of the weights."""

    task: Task
    prices: list[Price]
    price: float = 0.0

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch) + self.price * sum(one() for one in self.prices)
