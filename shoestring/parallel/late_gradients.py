"""What a gradient is worth that was made with weights of some steps ago."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from shoestring.kit import DivergedError

_EPSILON = 1e-7
"""As published; it keeps the compensation finite where a gradient was 0 so far."""


@runtime_checkable
class LateGradients(Protocol):
    """What becomes of a gradient that was made with older weights."""

    @property
    def remembers(self) -> bool:
        """Whether `corrected` needs a mean of squares for each weight."""
        ...

    def corrected(self, gradient: Tensor, moved: Tensor, squares: Tensor | None) -> None:
        """Change a gradient in place.

        `moved`: the weights now less those that it was made with; of its shape.
        `squares`: the mean of its squares so far, which is brought up to date; of its shape.
        """
        ...

    def rate(self, steps: int) -> float:
        """The share of the learning rate for a gradient that is so many steps old, 0 to 1."""
        ...


@dataclass(frozen=True)
class AsItComes:
    """A late gradient is taken as if it were new.

    Source: Dean et al. 2012 (Downpour SGD).
    """

    remembers = False

    def corrected(self, gradient: Tensor, moved: Tensor, squares: Tensor | None) -> None:
        """Leave it."""

    def rate(self, steps: int) -> float:
        """The whole rate."""
        return 1.0


@dataclass(frozen=True)
class ByStaleness:
    """The rate of a late gradient is divided by the steps that it is late.

    Source: Zhang, Gupta, Lian & Liu 2016, "Staleness-aware async-SGD".
    """

    remembers = False

    def corrected(self, gradient: Tensor, moved: Tensor, squares: Tensor | None) -> None:
        """Leave it."""

    def rate(self, steps: int) -> float:
        """One over the steps; the whole rate for a gradient that is 0 or 1 of them old."""
        return 1.0 / max(1, steps)


@dataclass(frozen=True)
class DelayCompensated:
    """A late gradient g becomes g + weight · g² · (the weights now less those it was made with).

    g² stands for the second derivative. It is that of a log-likelihood in the mean over examples,
    near the maximum; g is the mean gradient of a batch, whose square is smaller, the more so the
    larger the batch.

    Source: Zheng et al. 2017 (DC-ASGD-c, a constant weight).

    `weight`: λ of the paper, 0 or more; it has 0.04 for CIFAR-10. What is right depends on the size
        of the gradients and of the batch: choose it on validation data.

    Raises ValueError for a weight out of range.
    """

    weight: float = 0.04
    remembers = False

    def __post_init__(self) -> None:
        _check_weight(self.weight)

    def corrected(self, gradient: Tensor, moved: Tensor, squares: Tensor | None) -> None:
        """Add the compensation."""
        gradient.addcmul_(gradient.square(), moved, value=self.weight)

    def rate(self, steps: int) -> float:
        """The whole rate."""
        return 1.0


@dataclass(frozen=True)
class AdaptivelyCompensated:
    """The same, with a weight for each parameter: `weight` by the root mean square of its gradient.

    So the size of the compensation is in proportion to the gradient, not to its square. The mean of
    squares begins with 0, so that first compensations are larger.

    Source: Zheng et al. 2017 (DC-ASGD-a).

    `weight`: λ₀ of the paper, 0 or more; it has 2.
    `decay`: the share of the mean of squares that stays in each step, 0 or more and below 1.

    Raises ValueError for numbers out of range.
    """

    weight: float = 2.0
    decay: float = 0.95
    remembers = True

    def __post_init__(self) -> None:
        _check_weight(self.weight)
        if not 0 <= self.decay < 1:
            raise ValueError(f"a decay of {self.decay!r}: give a share, 0 or more and below 1")

    def corrected(self, gradient: Tensor, moved: Tensor, squares: Tensor | None) -> None:
        """Add the compensation, after the mean of squares had this gradient."""
        assert squares is not None
        square = gradient.square()
        squares.lerp_(square, 1 - self.decay)
        gradient.addcmul_(square.div_((squares + _EPSILON).sqrt_()), moved, value=self.weight)

    def rate(self, steps: int) -> float:
        """The whole rate."""
        return 1.0


def _check_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise ValueError(f"a compensation of {weight!r}: give a weight of 0 or more")


def check_late(late: object) -> None:
    """Raise TypeError for what are no late gradients."""
    if isinstance(late, type) or not isinstance(late, LateGradients):
        raise TypeError(
            f"late gradients as {late!r}: give AsItComes(), ByStaleness(), DelayCompensated() or "
            "AdaptivelyCompensated()"
        )


def check_at_end(parameters: Sequence[Tensor], steps: int) -> None:
    """Raise DivergedError where the last of so many late gradients broke a weight."""
    if not all(bool(p.isfinite().all()) for p in parameters):
        raise DivergedError(
            f"weights are NaN or infinite after the last of {steps} steps, which the loss with "
            "a worker's older weights did not show: use a lower learning rate"
        )
