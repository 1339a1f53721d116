"""Which experts are used: a table, and a warning after a training that left some out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from shoestring.core import Task
from shoestring.core.task import evaluating
from shoestring.kit.routing.mixture import MixtureOfExperts

STARVED = 0.1
"""An expert is starved below this multiple of an equal share."""
COLLAPSED = 0.5
"""A router has collapsed where the rows spread as over fewer than this share of the experts."""
DROPPED = 0.005
"""From this share of dropped rows on, it is said."""


class RoutingWarning(UserWarning):
    """A mixture of experts uses few of its experts, or dropped rows in training."""


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How the rows of a mixture were divided among its experts.

    `name`: the mixture's, in the model; "" for the model itself.
    `shares`: of each expert, adding up to 1.
    `dropped`: the share of rows beyond the capacity, 0 to 1.
    """

    name: str
    shares: tuple[float, ...]
    dropped: float = 0.0

    @property
    def spread(self) -> float:
        """Over how many experts the rows spread: e to the power of the entropy of the shares."""
        return math.exp(-sum(share * math.log(share) for share in self.shares if share > 0))

    @property
    def starved(self) -> tuple[int, ...]:
        """The numbers of the experts that get less than a tenth of an equal share."""
        least = STARVED / len(self.shares)
        return tuple(number for number, share in enumerate(self.shares) if share < least)

    def verdict(self) -> str:
        """What is wrong and what to do, as a sentence; "" where nothing is."""
        count, name = len(self.shares), self.name or "the model"
        parts: list[str] = []
        if self.spread < COLLAPSED * count:
            best = max(range(count), key=lambda number: self.shares[number])
            parts.append(
                f"the router of {name} has collapsed: expert {best} gets "
                f"{100 * self.shares[best]:.1f} % of the rows, and they spread as over "
                f"{self.spread:.1f} of {count} experts. Raise `balance` (0.01 is usual) or "
                "`jitter`, or lower the learning rate"
            )
        elif self.starved:
            told = ", ".join(f"{n} ({100 * self.shares[n]:.2f} %)" for n in self.starved)
            parts.append(
                f"experts of {name} that hardly any row reaches: {told}. Their bytes are in the "
                "file for nothing: train longer, raise `balance`, or give fewer experts"
            )
        if self.dropped >= DROPPED:
            parts.append(
                f"{100 * self.dropped:.1f} % of the rows of {name} were beyond the capacity of "
                "their expert and got no output from it in training: raise `capacity` or `balance`"
            )
        return "; ".join(parts)


def expert_shares(model: nn.Module, task: Task, split: str = "validation") -> list[Routing]:
    """How the rows of a split are divided among the experts, one row for each mixture.

    In evaluation mode no row is dropped. Raises ValueError for a model without a mixture.
    """
    mixtures = dict(_mixtures(model))
    if not mixtures:
        raise ValueError("the model has no MixtureOfExperts, so there is no routing to look at")
    counts = {name: torch.zeros(len(one.experts)) for name, one in mixtures.items()}

    def hook_for(name: str, experts: int) -> object:
        def hook(_module: nn.Module, _args: object, chosen: tuple[torch.Tensor, ...]) -> None:
            counts[name] += torch.bincount(chosen[1].flatten().cpu(), minlength=experts)

        return hook

    handles = [
        one.choose.register_forward_hook(hook_for(name, len(one.experts)))  # type: ignore[arg-type]
        for name, one in mixtures.items()
    ]
    try:
        with torch.no_grad(), evaluating(model):
            task.score(model, split)
    finally:
        for handle in handles:
            handle.remove()
    return [
        Routing(name=name, shares=tuple((count / count.sum().clamp(min=1)).tolist()))
        for name, count in counts.items()
    ]


def warn_of_routing(model: nn.Module) -> None:
    """A RoutingWarning for each mixture that lately used few of its experts in training."""
    for name, mixture in _mixtures(model):
        if mixture.shares is None:
            continue
        total = float(mixture.shares.sum())
        shares = tuple(share / total for share in mixture.shares.tolist())
        found = Routing(name=name, shares=shares, dropped=mixture.dropped)
        if told := found.verdict():
            warnings.warn(f"after the training, {told}", RoutingWarning, stacklevel=4)


def _mixtures(model: nn.Module) -> Iterator[tuple[str, MixtureOfExperts]]:
    for name, part in model.named_modules():
        if isinstance(part, MixtureOfExperts):
            yield name, part
