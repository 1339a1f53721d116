"""Which experts are used: a table, and a warning after a training that left some out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
class RoutingFault:
    """Something wrong with a routing: its name, what was seen, and what to do about it."""

    name: str
    says: str
    do: str


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

    def faults(self) -> tuple[RoutingFault, ...]:
        """What is wrong, each with what to do; none where nothing is."""
        count, name = len(self.shares), self.name or "the model"
        found: list[RoutingFault] = []
        if self.spread < COLLAPSED * count:
            best = max(range(count), key=lambda number: self.shares[number])
            found.append(
                RoutingFault(
                    name="collapsed router",
                    says=f"the router of {name} has collapsed: expert {best} gets "
                    f"{100 * self.shares[best]:.1f} % of the rows, and they spread as over "
                    f"{self.spread:.1f} of {count} experts",
                    do="Raise `balance` (0.01 is usual) or `jitter`, or lower the learning rate",
                )
            )
        elif self.starved:
            told = ", ".join(f"{n} ({100 * self.shares[n]:.2f} %)" for n in self.starved)
            found.append(
                RoutingFault(
                    name="starved experts",
                    says=f"experts of {name} that hardly any row reaches: {told}. Their bytes are "
                    "in the file for nothing",
                    do="Train longer, raise `balance`, or give fewer experts",
                )
            )
        if self.dropped >= DROPPED:
            found.append(
                RoutingFault(
                    name="dropped rows",
                    says=f"{100 * self.dropped:.1f} % of the rows of {name} were beyond the "
                    "capacity of their expert and got no output from it in training",
                    do="Raise `capacity` or `balance`",
                )
            )
        return tuple(found)

    def verdict(self) -> str:
        """What is wrong and what to do, in sentences; "" where nothing is."""
        return "; ".join(f"{one.says}. {one.do}" for one in self.faults())


@dataclass
class Sent:
    """What a router decided, one number for each expert.

    `rows`: how many were sent to it, those beyond a capacity too.
    `probability`: the sum over the rows of the probability that the router gives it.
    """

    rows: Tensor
    probability: Tensor


@contextmanager
def counting(model: nn.Module) -> Iterator[dict[str, Sent]]:
    """Within, what the router of each mixture of a model decides, by the mixture's name."""
    sent = {
        name: Sent(torch.zeros(len(one.experts)), torch.zeros(len(one.experts)))
        for name, one in _mixtures(model)
    }

    def hook_for(one: Sent) -> object:
        def hook(_module: nn.Module, args: tuple[Tensor], chosen: tuple[Tensor, ...]) -> None:
            one.rows += torch.bincount(chosen[1].flatten().cpu(), minlength=len(one.rows))
            one.probability += args[0].detach().float().softmax(-1).sum(0).cpu()

        return hook

    handles = [
        one.choose.register_forward_hook(hook_for(sent[name]))  # type: ignore[arg-type]
        for name, one in _mixtures(model)
    ]
    try:
        yield sent
    finally:
        for handle in handles:
            handle.remove()


def shares_of(numbers: Tensor) -> tuple[float, ...]:
    """Numbers as shares of their sum."""
    return tuple((numbers / numbers.sum().clamp(min=1)).tolist())


def expert_shares(model: nn.Module, task: Task, split: str = "validation") -> list[Routing]:
    """How the rows of a split are divided among the experts, one row for each mixture.

    In evaluation mode no row is dropped. Raises ValueError for a model without a mixture.
    """
    with counting(model) as sent, torch.no_grad(), evaluating(model):
        if not sent:
            raise ValueError("the model has no MixtureOfExperts, so there is no routing to look at")
        task.score(model, split)
    return [Routing(name=name, shares=shares_of(one.rows)) for name, one in sent.items()]


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
