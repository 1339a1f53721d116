"""The loop that Channels and Heads share: remove units in rounds, and train after each."""

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
from shoestring.prune.unchanged import unchanged

Choose = Callable[[nn.Module, DependencyGroups, float], list[Tensor]]
"""Which units of each group to remove, given the model, its groups and the progress.

The progress rises with each round to 1 in the last.
"""


def thinned(
    model: nn.Module,
    task: Task,
    dependencies: DependencyGroups,
    choose: Choose,
    *,
    training: Training,
    ramp: Ramp,
    who: str,
    key: str,
) -> tuple[nn.Module, DependencyGroups]:
    """A copy of the model without the units that `choose` names, and its dependency groups.

    The model as it was is the teacher. One from which no round removed anything comes back
    untrained, with a SkippedWarning. `who`: the technique that warnings name; `key`: identifies
    the training when it is resumed.
    """
    pruned, whole = clone(model), dependencies
    if not dependencies.groups:
        warnings.warn(
            f"{who} found nothing in the model that it could take out", SkippedWarning, stacklevel=3
        )
        return pruned, dependencies
    steps = training.steps
    taught_task = taught(task, model) if steps else task
    rounds = ramp.rounds if steps else 1
    starts = [round(ramp.share * steps * number / rounds) for number in range(rounds)]
    for number, (first, last) in enumerate(zip(starts, [*starts[1:], steps], strict=True), 1):
        units = choose(pruned, dependencies, number / rounds)
        if any(map(len, units)):
            pruned, dependencies = removed(pruned, task, dependencies, units, who=who)
        if number == rounds and dependencies is whole:
            return unchanged(model, training, who), whole
        pruned = recover(
            pruned,
            taught_task,
            model,
            replace(training, steps=last - first),
            what=f"training what is left ({number}/{rounds})",
            key=f"{key}, round {number}",
        )
    return pruned, dependencies


def named(model: nn.Module, task: Task, *, parts: bool) -> list[str]:
    """The names of the groups whose units are attention heads (`parts`), or are not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)  # only the removal itself warns
        dependencies = dependency_groups(model, task, who="")
    return list(
        dict.fromkeys(group.name for group in dependencies.groups if group.are_parts == parts)
    )
