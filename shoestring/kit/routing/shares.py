"""Which experts are used, on the data of a task: a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.core.task import evaluating
from shoestring.kit.routing.mixture import MixtureOfExperts
from shoestring.kit.routing.verdict import Routing


def expert_shares(model: nn.Module, task: Task, split: str = "validation") -> list[Routing]:
    """How the rows of a split are divided among the experts, one row for each mixture.

    Rows that a mixture was told not to count (`counted`) are left out. In evaluation mode no row is
    dropped. Raises ValueError for a model without a mixture.
    """
    mixtures = {
        name: part for name, part in model.named_modules() if isinstance(part, MixtureOfExperts)
    }
    if not mixtures:
        raise ValueError("the model has no MixtureOfExperts, so there is no routing to look at")
    counts = {name: torch.zeros(len(one.experts)) for name, one in mixtures.items()}
    handles: list[Any] = []
    for name, one in mixtures.items():
        before, after = _counters(counts[name])
        handles.append(one.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(one.choose.register_forward_hook(after))
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


def _counters(count: Tensor) -> tuple[Callable[..., None], Callable[..., None]]:
    """Hooks that add the rows of a call to `count`: before a mixture, and after its choice."""
    rows: list[Tensor | None] = [None]

    def before(_module: nn.Module, _args: Any, kwargs: dict[str, Any]) -> None:
        rows[0] = kwargs.get("counted")

    def after(_module: nn.Module, _args: Any, chosen: tuple[Tensor, Tensor]) -> None:
        route = chosen[1] if rows[0] is None else chosen[1][rows[0].flatten()]
        count.add_(torch.bincount(route.flatten().cpu(), minlength=len(count)))

    return before, after
