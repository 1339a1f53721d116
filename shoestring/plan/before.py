"""What comes before a search: labels that are bought, and learning from examples without any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from torch import nn

from shoestring.core import Budget, Gauge, Task, check_task, unwrapped
from shoestring.kit import export
from shoestring.kit.clock import Clock
from shoestring.plan.checks import checked_limits, checked_meters, seconds_of
from shoestring.plan.labels import labels_first
from shoestring.plan.pool import has_pool, pool_first


def data_first(
    model: nn.Module,
    task: Task,
    budget: str | Budget,
    path: Path,
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    began: float | None = None,
    asked: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> tuple[nn.Module, Task, dict[str, Any]]:
    """The model, its task, and what `Job.of` is told: of what is done to the data first.

    The arguments are those of `Job.of`, and what it would raise about the budget and about a model
    that no file can be made of is raised before anybody is asked and before anything is trained.
    """
    model, began = unwrapped(model), monotonic() if began is None else began
    limits = checked_limits(budget, model)
    check_task(task)
    told = {"minutes": minutes, "meters": meters, "asked": asked, "say": say, **settings}
    model, task, found = labels_first(model, task, limits, path, began=began, **told)
    if has_pool(task) is None:
        return model, task, found
    checked_meters(limits, meters)
    export(model, task.sealed())
    found = {"began": began, **found}  # waiting for answers moves it
    clock = Clock(seconds_of(limits, minutes), found["began"], say, asked)
    model, task, learnt = pool_first(model, task, path, clock, say=say, **settings)
    return model, task, {**found, "learnt": learnt}
