"""Which experts are used, on the data of a task: a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.core.task import evaluating
from shoestring.kit.routing.mixture import MixtureOfExperts
from shoestring.kit.routing.verdict import Routing


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
    """Within, what the router of each mixture of a model decides, by the mixture's name.

    Rows that a mixture is told not to count (`counted`) are left out.
    """
    mixtures = {
        name: part for name, part in model.named_modules() if isinstance(part, MixtureOfExperts)
    }
    sent: dict[str, Sent] = {}
    handles: list[Any] = []
    for name, one in mixtures.items():
        sent[name] = Sent(torch.zeros(len(one.experts)), torch.zeros(len(one.experts)))
        before, after = _counters(sent[name])
        handles.append(one.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(one.choose.register_forward_hook(after))
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

    Rows that a mixture was told not to count (`counted`) are left out. In evaluation mode no row is
    dropped. Raises ValueError for a model without a mixture.
    """
    with counting(model) as sent, torch.no_grad(), evaluating(model):
        if not sent:
            raise ValueError("the model has no MixtureOfExperts, so there is no routing to look at")
        task.score(model, split)
    return [Routing(name=name, shares=shares_of(one.rows)) for name, one in sent.items()]


def _counters(sent: Sent) -> tuple[Callable[..., None], Callable[..., None]]:
    """Hooks that add the rows of a call to `sent`: before a mixture, and after its choice."""
    rows: list[Tensor | None] = [None]

    def before(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        rows[0] = kwargs.get("counted")

    def after(_module: nn.Module, args: tuple[Tensor], chosen: tuple[Tensor, Tensor]) -> None:
        logits, route = args[0].detach().float(), chosen[1]
        if rows[0] is not None:
            counted = rows[0].flatten()
            logits, route = logits[counted], route[counted]
        sent.rows += torch.bincount(route.flatten().cpu(), minlength=len(sent.rows))
        sent.probability += logits.softmax(-1).sum(0).cpu()

    return before, after
