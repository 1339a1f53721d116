"""What Channels and Heads do alike: take units out in rounds, and train what is left after each."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import Ramp, SkippedWarning, Training, clone, recover, taught
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import DependencyGroups
from shoestring.kit.surgery.removing import removed

Choose = Callable[[nn.Module, DependencyGroups, float], list[Tensor]]
"""Which units of each family go, for a model on the way (0: none, 1: as far as it shall go)."""


def thinned(
    model: nn.Module,
    task: Task,
    coupling: DependencyGroups,
    choose: Choose,
    *,
    training: Training,
    ramp: Ramp,
    who: str,
    key: str,
) -> tuple[nn.Module, DependencyGroups]:
    """A copy of the model without the units that are chosen, and its coupling.

    It is taught by the model as it was.
    """
    thin = clone(model)
    if not coupling.groups:
        warnings.warn(
            f"{who} found nothing in the model that it could take out", SkippedWarning, stacklevel=3
        )
        return thin, coupling
    steps = training.steps
    learned = taught(task, model) if steps else task
    rounds = ramp.rounds if steps else 1
    before = [round(ramp.share * steps * turn / rounds) for turn in range(rounds)]
    for turn, (first, last) in enumerate(zip(before, [*before[1:], steps], strict=True), 1):
        gone = choose(thin, coupling, turn / rounds)
        if any(len(units) for units in gone):
            thin, coupling = removed(thin, task, coupling, gone, who=who)
        thin = recover(
            thin,
            learned,
            model,
            replace(training, steps=last - first),
            what=f"training what is left ({turn}/{rounds})",
            key=f"{key}, round {turn}",
        )
    return thin, coupling


def named(model: nn.Module, task: Task, *, parts: bool) -> list[str]:
    """The names of the families whose units are heads of attentions (`parts`), or are not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)  # that is for those who cut
        found = dependency_groups(model, task, who="")
    return list(dict.fromkeys(group.name for group in found.groups if group.are_parts == parts))
