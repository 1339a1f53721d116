"""The learning rate, found in at most a minute: which rates still lower the loss?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import fmean, stdev
from time import monotonic

from torch import nn

from shoestring.core import Task, check_task, seeded
from shoestring.kit import Constant, Training, progress
from shoestring.kit.training.resume import Batches
from shoestring.kit.training.steps import Steps
from shoestring.kit.weights.copying import clone_in_training

LOWEST, HIGHEST = 1e-3, 1e3
"""The ends of the range, as multiples of the optimizer's own rate."""
RATES = 25
"""Four in each of the six decades, and both ends."""
AT_ONCE = 4
"""The test diverges at once where one of so many rates at the low end is too high."""
CERTAIN = 4.0
"""A loss is another one from so many standard errors on. The lowest of 25 rates is looked at; if
all is noise, it is two or three of them below the mean.
"""
BELOW = 3.0
"""By this factor the suggested rate is below the one with the lowest loss. The test is at that one
for a few steps only, and a training stays near its highest rate.
"""


class RangeEnding(Enum):
    """How a range test ended, and what to do."""

    FOUND = "The loss falls up to a rate, and rises above it"
    NEVER_TOO_HIGH = (
        "The loss falls up to the highest rate: no rate was too high. Look whether the rate "
        "does anything in this optimizer and model; or raise the optimizer's own rate and test "
        "again"
    )
    DIVERGES_AT_ONCE = (
        "The loss rises, or is not finite, at one of the first rates. Look for NaN in the "
        "data, and see shoestring.diagnose(model, task); or lower the optimizer's own rate and "
        "test again"
    )
    NOISE = (
        "The loss falls at no rate by more than it varies from batch to batch. Give larger batches "
        "or more steps; where that does not help, see shoestring.diagnose(model, task)"
    )

    def __repr__(self) -> str:
        return f"RangeEnding.{self.name}"


@dataclass(frozen=True, kw_only=True)
class RateLoss:
    """The loss while the model learns at a rate, after it has learned at all lower ones.

    `rate`: of the optimizer, above 0.
    `steps`: how many, 1 or more.
    `loss`: their mean, each before its step; NaN or infinite where it was once.
    """

    rate: float
    steps: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """What a learning-rate range test found; `print` shows it as a table.

    `rows`: a rate each, from the lowest on, up to the first that is too high.
    `first`: the mean loss before a step was made.
    `noise`: the standard deviation of that loss from batch to batch.
    `rate`: the suggested rate; None where the test found none.
    `ending`: how it ended.
    `seconds`: that it took.
    """

    rows: tuple[RateLoss, ...]
    first: float
    noise: float
    rate: float | None
    ending: RangeEnding
    seconds: float

    def applied(self, training: Training) -> Training:
        """The training with the suggested rate.

        Raises ValueError where the test found none; the message says what to do.
        """
        if self.rate is None:
            raise ValueError(f"the range test found no learning rate. {self.ending.value}")
        return replace(training, optimizer=replace(training.optimizer, learning_rate=self.rate))

    def __str__(self) -> str:
        lines = ["      rate   steps        loss", f"{'none':>10} {'':7} {self.first:11.5g}"]
        for row in self.rows:
            lines.append(f"{row.rate:10.3g} {row.steps:7} {row.loss:11.5g}")
        found = "no rate is suggested" if self.rate is None else f"suggested: {self.rate:.3g}"
        return "\n".join([*lines, f"{self.ending.value}: {found} ({self.seconds:.0f} s)."])


def range_test(
    model: nn.Module,
    task: Task,
    training: Training,
    *,
    steps: int = 200,
    seconds: float = 60.0,
    seed: int = 0,
) -> RangeTest:
    """Raise the learning rate step by step, and see up to which one the loss falls.

    A copy is trained; the model, its mode, the random numbers and the training stay as they were.

    Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3.
    Differs: rates rise by equal factors, not by equal differences; each is kept for some steps, so
    that the noise of the loss is known; the loss of training batches is read, not an accuracy; and
    the suggestion is a third of the rate with the lowest loss, for a schedule that begins there and
    falls.

    `training`: whose optimizer, clipping and precision are used. Rates go from a thousandth of its
        own to a thousand times it.
    `steps`: in all, 50 or more; 25 rates share them.
    `seconds`: at most so long, above 0; each rate gets its share of them and one step at least.
    `seed`: of the order of batches, dropout and the rest.

    Raises ValueError for numbers out of range, for a model without a parameter that learns, for a
    training with workers, and where the training split is empty.
    """
    _check(model, task, steps, seconds)
    training.check_alone("the range test")
    begun, copy = monotonic(), clone_in_training(model)
    with seeded(seed), progress("learning-rate range test", RATES + 1) as advance:
        stepping, batches = Steps(copy, task, _constant(training)), Batches(task, copy)
        first = list(_losses(stepping, batches, 2 * (steps // RATES), begun + seconds / RATES))
        advance(f"loss {fmean(first):.4g}")
        rows, is_finite = list[RateLoss](), math.isfinite(first[-1])
        noise = stdev(first) if is_finite else math.nan
        rates = _rates(training.optimizer.learning_rate) if is_finite else []
        for number, rate in enumerate(rates, 1):
            left = begun + seconds - monotonic()
            until = monotonic() + left / (RATES + 1 - number)
            losses = list(_losses(stepping, batches, steps // RATES, until, rate))
            rows.append(RateLoss(rate=rate, steps=len(losses), loss=fmean(losses)))
            advance(f"loss {rows[-1].loss:.4g}")
            if is_too_high(rows[-1], fmean(first), noise):
                break
    ending, rate = suggested(rows, fmean(first), noise)
    return RangeTest(
        rows=tuple(rows),
        first=fmean(first),
        noise=noise,
        rate=rate,
        ending=ending,
        seconds=monotonic() - begun,
    )


def _check(model: nn.Module, task: Task, steps: int, seconds: float) -> None:
    check_task(task)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 50:
        raise ValueError(f"a range test of {steps!r} steps: give an integer, 50 or more")
    if not 0 < seconds < math.inf:
        raise ValueError(f"a range test of {seconds!r} seconds: give a number above 0, such as 60")
    if not any(one.requires_grad for one in model.parameters()):
        raise ValueError(
            "the model has no parameter that learns: a range test needs one with requires_grad"
        )


def suggested(
    rows: Sequence[RateLoss], first: float, noise: float
) -> tuple[RangeEnding, float | None]:
    """How a range test with these rows ended, and the rate to use, in three digits; None for none.

    `rows`: as in RangeTest: only the last one may be too high; none where the first loss is not
        finite.
    `first`: the mean loss before anything was learned.
    `noise`: the standard deviation of the loss from batch to batch.
    """
    if not math.isfinite(first):
        return RangeEnding.DIVERGES_AT_ONCE, None
    diverged = is_too_high(rows[-1], first, noise)
    fine = rows[:-1] if diverged else rows
    if diverged and len(fine) < AT_ONCE:
        return RangeEnding.DIVERGES_AT_ONCE, None
    lowest = min(fine, key=lambda row: row.loss)
    if not first - lowest.loss > CERTAIN * noise / math.sqrt(lowest.steps):
        return RangeEnding.NOISE, None
    rises = diverged or rows[-1].loss - lowest.loss > CERTAIN * noise / math.sqrt(rows[-1].steps)
    return RangeEnding.FOUND if rises else RangeEnding.NEVER_TOO_HIGH, float(
        f"{lowest.rate / BELOW:.3g}"
    )


def is_too_high(row: RateLoss, first: float, noise: float) -> bool:
    """Whether the loss at a rate is not finite, or is above the first one for certain."""
    return not row.loss - first <= CERTAIN * noise / math.sqrt(row.steps)


def _rates(own: float) -> list[float]:
    step = math.log(HIGHEST / LOWEST) / (RATES - 1)
    return [own * LOWEST * math.exp(step * number) for number in range(RATES)]


def _constant(training: Training) -> Training:
    return replace(training, schedule=Constant(warm_up=0.0))


def _losses(
    stepping: Steps, batches: Batches, steps: int, until: float, rate: float | None = None
) -> Iterator[float]:
    """The losses of so many batches, each before its step; fewer when time is up.

    It ends at a loss that is not finite.
    `rate`: None: no steps are made, and there are two losses at least, for their deviation.
    """
    own = stepping.training.optimizer.learning_rate
    for number in range(steps):
        if number >= (1 if rate is not None else 2) and monotonic() > until:
            return
        loss = stepping.backward(next(batches))
        yield loss
        if not math.isfinite(loss):
            return
        if rate is not None:
            groups = stepping.optimizer.param_groups
            highest = [group["highest"] for group in groups]
            for group in groups:
                group["highest"] *= rate / own  # scales of quantisers have rates of their own
            stepping.step(0, 1)
            for group, kept in zip(groups, highest, strict=True):
                group["highest"] = kept
