"""One body for several tasks: a head for each, tasks that name their entry, and joint training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.adapt.keeping import examples_joined
from shoestring.core import Predict, Task, View, check_task
from shoestring.core.entries import Call, called, calls_of
from shoestring.core.task import asked
from shoestring.kit import Training, train


def shared_body(body: nn.Module, heads: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """A model with an entry for each head, `model.NAME(x)`; all read the same body.

    Its file has the weights of the body once.

    `body`: from inputs to what the heads read.
    `heads`: by the names of their tasks, 1 or more.
    Raises ValueError without a head.
    """
    if not heads:
        raise ValueError("no head: give one for each task, as in {'old': nn.Linear(64, 5)}")
    return nn.ModuleDict({name: nn.Sequential(body, head) for name, head in heads.items()})


@dataclass(frozen=True, eq=False)
class Entry(View):
    """The task of one entry of a model: its loss and its scores call `model.NAME` as the model.

    `task`: of a model that is called itself.
    `entry`: the name of the method or part.

    Raises ValueError for a task that names entries already.
    """

    task: Task
    entry: str = field(default="")

    def __post_init__(self) -> None:
        if "" not in calls_of(self.task.example()):
            raise ValueError(f"{self.task.name or 'the task'} names its entries already")

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(called(model, self.entry), batch)

    def score(self, predict: Predict, split: str) -> float:
        return self.task.score(called(predict, self.entry), split)

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        return self.task.scores(called(predict, self.entry), split)

    def merits(self, predict: Predict, split: str) -> Any:
        return self.task.merits(called(predict, self.entry), split)

    def standard_error(self, predict: Predict, split: str) -> float | None:
        return self.task.standard_error(called(predict, self.entry), split)

    def outputs(self, model: Any, inputs: Any) -> Any:
        """What the entry gives for inputs of the task's pool (`core.LabelTask.outputs`)."""
        from shoestring.core import label_task

        return label_task(self.task).outputs(called(model, self.entry), inputs)

    def example(self) -> Mapping[str, Call]:
        return {self.entry: calls_of(self.task.example())[""]}


@dataclass(frozen=True)
class Uniform:
    """The losses of the tasks are added as they are."""


@dataclass(frozen=True)
class Uncertainty:
    """Each loss is divided by a variance that is learnt with the weights.

    Source: Kendall, Gal & Cipolla 2018, section 3.2.
    Differs: every loss counts as exp(-s) × loss + s / 2, with s the logarithm of the variance, as
    the paper has it for classes; for numbers it has half of the first term.
    """


@dataclass(frozen=True, kw_only=True, eq=False)
class Several(Task):
    """Several tasks of one model: a batch has one of each, and the loss adds theirs.

    The score is the mean of the tasks' scores; `scores` has each by its name, so that a budget can
    limit each, as in `drop(tags)<=0.5%`. A pass is as long as that of the first task; the others
    begin again as often as needed.

    `tasks`: by name, 2 or more; with a shared body, each is an `Entry`.
    `name`: tells tasks apart in records.

    Source: Caruana 1997, section 2.
    Raises ValueError for fewer than two tasks.
    """

    tasks: Mapping[str, Task] = field(repr=False)
    name: str = "several"
    has_test: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.tasks) < 2:
            raise ValueError(f"{len(self.tasks)} task: give two or more, or train on the task")
        for one in self.tasks.values():
            check_task(one)
        object.__setattr__(self, "has_test", all(one.has_test for one in self.tasks.values()))

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Any, ...]]:
        """A batch of each task, in their order."""
        first, *rest = self.tasks.values()
        others = [endless(one, split, model) for one in rest]
        for batch in asked(first, split, model):
            yield batch, *map(next, others)

    def losses(self, model: Any, batch: Any) -> list[Tensor]:
        """The loss of each task, in their order."""
        return [one.loss(model, own) for one, own in zip(self.tasks.values(), batch, strict=True)]

    def loss(self, model: Any, batch: Any) -> Tensor:
        return torch.stack(self.losses(model, batch)).sum()

    def score(self, predict: Predict, split: str) -> float:
        """The mean of the tasks' scores."""
        return float(np.mean(list(self.scores(predict, split).values())))

    def scores(self, predict: Predict, split: str) -> dict[str, float]:
        """The score of each task, by its name."""
        return {name: float(one.score(predict, split)) for name, one in self.tasks.items()}

    def example(self) -> Call | Mapping[str, Call]:
        return examples_joined(list(self.tasks.values()))


def endless(task: Task, split: str, model: Any) -> Iterator[Any]:
    """The batches of a split, pass after pass; raises ValueError for a split without any."""
    while True:
        is_empty = True
        for batch in asked(task, split, model):
            is_empty = False
            yield batch
        if is_empty:
            raise ValueError(f"the {split} split of {task.name or 'a task'} has no batch")


def train_together(
    model: nn.Module,
    task: Several,
    training: Training,
    *,
    weighting: Uniform | Uncertainty = Uniform(),
    key: str = "",
) -> nn.Module:
    """Train a model on several tasks at once, in place, and return it.

    Saves: bytes and operations, where one body does for several tasks; labels, where one task helps
    another. docs/adapt.md has what we measured beside single tasks.
    Source: Caruana 1997.

    `weighting`: of the losses, Uniform() or Uncertainty().
    `key`: tells this training from others within `kit.resuming`.
    Raises as `kit.train`.
    """
    if isinstance(weighting, Uniform):
        return train(model, task, training, what="training on several tasks", key=key)
    whole = _Weighed(model, len(task.tasks))
    whole.training = model.training
    train(whole, _Uncertain(task), training, what="training on several tasks", key=key)
    return model


class _Weighed(nn.Module):
    """A model, and the logarithm of the variance of each task."""

    def __init__(self, model: nn.Module, tasks: int) -> None:
        super().__init__()
        self.model = model
        first = next(model.parameters())
        self.log_variances = nn.Parameter(torch.zeros(tasks, device=first.device))


@dataclass(frozen=True, eq=False)
class _Uncertain(View):
    """Several tasks, each loss with the variance that the model has for it."""

    task: Several

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Any, ...]]:
        return self.task.batches(split, model=None if model is None else model.model)

    def loss(self, model: Any, batch: Any) -> Tensor:
        losses, variances = self.task.losses(model.model, batch), model.log_variances
        return ((-variances).exp() * torch.stack(losses) + variances / 2).sum()
