"""Rehearsal: a few old examples are trained on along with the new ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.adapt.shared_body import endless
from shoestring.core import LabelTask, Stage, Task, Technique, View, label_task
from shoestring.core.task import asked
from shoestring.kit import AdamW, Training, check_finite, clone, train


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Technique):
    """Train on the task, and with each batch on a batch of a few kept examples of the others.

    Saves: nothing of a Cost: it keeps the scores of the other tasks, for a few of their examples.
    Costs: a training step that is as long again for each other task; the kept examples.
    Source: Robins 1995 (random rehearsal).
    Differs: kept examples are drawn with as many of each class, where the labels are classes.

    `examples`: of each other task that are kept, 1 or more; all where there are fewer.
    `weight`: of the mean loss of the others beside the task's own, above 0.
    `training`: on both.

    The others are those of the task (`Keeping`), whose training examples are drawn from. Raises
    ValueError for a task without others and numbers out of range, and TypeError for another task
    whose training examples are not known by index.
    """

    stage: ClassVar = Stage.LABELS

    examples: int = 200
    weight: float = 1.0
    training: Training = Training(300, AdamW(1e-3))

    def __post_init__(self) -> None:
        if not isinstance(self.examples, int) or self.examples < 1:
            raise ValueError(f"examples={self.examples!r}: keep an integer, 1 or more")
        check_weight(self.weight)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model that was trained on the task and on what is kept."""
        check_finite(model)
        kept = {
            name: kept_examples(label_task(other), self.examples)
            for name, other in others_of(task).items()
        }
        both = _Rehearsing(task, kept, self.weight)
        return train(clone(model), both, self.training, what="rehearsing", key=repr(self))


def check_weight(weight: float) -> None:
    """Raise ValueError for a weight that is not above 0."""
    if not 0 < weight < float("inf"):
        raise ValueError(f"weight={weight}: give a number above 0, such as 1.0")


def others_of(task: Task) -> Mapping[str, Task]:
    """The other tasks that a task names; raises ValueError where it names none."""
    if not (found := task.others()):
        raise ValueError(
            f"{task.name or 'the task'} names nothing that is not to be forgotten: wrap it, as in "
            "Keeping(task, {'old': old_task}), or train on it with kit.train"
        )
    return found


def kept_examples(task: LabelTask, count: int) -> LabelTask:
    """The task with a few of its training examples, drawn by torch's generator.

    Where labels are classes, each class in turn gives one until there are enough.
    """
    known = torch.as_tensor(task.known())
    labels = torch.as_tensor(task.labels(known))
    order = torch.randperm(len(known))
    if labels.ndim == 1 and not labels.is_floating_point():
        turn, seen = torch.empty(len(order), dtype=torch.long), dict[int, int]()
        for place, row in enumerate(order.tolist()):
            label = int(labels[row])
            turn[place] = seen[label] = seen.get(label, -1) + 1
        order = order[turn.argsort(stable=True)]
    chosen = order[:count].sort().values
    return task.with_labels(labels[chosen], indices=known[chosen].numpy())


@dataclass(frozen=True, eq=False)
class _Rehearsing(View):
    """A batch is the task's, and one of each other task; of splits to judge by, the task's."""

    task: Task
    kept: Mapping[str, Task]
    weight: float

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        is_train = split == "train"
        others = [endless(one, split, model) for one in self.kept.values() if is_train]
        for batch in asked(self.task, split, model):
            yield batch, tuple(map(next, others))

    def loss(self, model: Any, batch: Any) -> Tensor:
        own, others = batch
        loss = self.task.loss(model, own)
        if not others:
            return loss
        old = [
            one.loss(model, theirs) for one, theirs in zip(self.kept.values(), others, strict=True)
        ]
        return loss + self.weight * torch.stack(old).mean()
