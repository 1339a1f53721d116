"""What a look at a network in training gave, before anything is said about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from shoestring.kit.health.signals import Signal
from shoestring.kit.routing.shares import Routing
from shoestring.kit.training.optimizers import Optimizer
from shoestring.plan.diagnosis import RateTried


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look at a network gave.

    `signals`: in the order of running.
    `losses`: of the batches.
    `batches`: the batches.
    `where`: where NaN or infinity first appears; "" where nothing is.
    `depends`: whether the loss depends on a parameter.
    `weights`: the values of the parameters, by name.
    `frozen`: the names of those that do not train.
    `gradients`: the mean gradient of each parameter that got one.
    `updates`: the share of a parameter that a first step changes.
    `chain`: the signals of layers on the longest way from the input to the loss, of those that a
        gradient came back to.
    `zero_starts`: of parameters without a gradient only since a weight behind them begins at zero,
        that weight, by name.
    `routings`: of the mixtures of experts, on the batches.
    `probable`: the same by the probabilities of the routers, in place of rows.
    `rows`: how many each of these mixtures divided.
    `optimizer`: of the training, with its learning rate.
    `rates`: what rates did.
    `answered`: the shape of what the model gave for the last batch; () where that is no tensor.
    `probabilities`: of how many classes that is the probabilities though the loss takes logits; 0
        where it is not so.
    `sigmoids`: the names of the sigmoids from which a layer gets what they give, and that are not
        gates, which multiply something else.
    `later`: what another look at a copy gave after some steps; None where there was none.
    """

    signals: tuple[Signal, ...]
    losses: tuple[float, ...]
    batches: tuple[Any, ...]
    where: str
    depends: bool
    weights: Mapping[str, Tensor]
    frozen: tuple[str, ...]
    gradients: Mapping[str, Tensor]
    updates: Mapping[str, float]
    optimizer: Optimizer
    chain: tuple[Signal, ...] = ()
    zero_starts: Mapping[str, str] = field(default_factory=dict)
    routings: tuple[Routing, ...] = ()
    probable: tuple[Routing, ...] = ()
    rows: tuple[int, ...] = ()
    rates: tuple[RateTried, ...] = field(default=())
    answered: tuple[int, ...] = ()
    probabilities: int = 0
    sigmoids: tuple[str, ...] = ()
    later: Seen | None = None

    @property
    def loss(self) -> float:
        """The mean loss of the batches."""
        return sum(self.losses) / len(self.losses)

    @property
    def unsent(self) -> dict[str, tuple[int, ...]]:
        """For each mixture, the experts that no row was sent to."""
        return {
            one.name: tuple(n for n, share in enumerate(one.shares) if not share)
            for one in self.routings
        }

    @property
    def trainable(self) -> bool:
        """Whether trying rates makes sense: some parameter learns, and the loss is a number."""
        return self.depends and math.isfinite(self.loss) and len(self.frozen) < len(self.weights)
