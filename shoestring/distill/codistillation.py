"""Co-distillation: students that teach each other while they are trained, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from shoestring.core import Task, View
from shoestring.core.task import asked
from shoestring.core.taught import Taught
from shoestring.distill.ensemble import Ensemble
from shoestring.kit import Training, clone, train


@dataclass(frozen=True)
class EachStep:
    """Students learn from the answers that the others give at this step (mutual learning)."""


@dataclass(frozen=True)
class Copies:
    """Students learn from copies of the others, which are made anew at intervals.

    `every`: steps between two copies, 1 or more.

    Raises ValueError for fewer.
    """

    every: int = 50

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"copies every {self.every} steps: give 1 or more")


@dataclass(frozen=True, kw_only=True)
class Peers:
    """How students learn from each other.

    `weight`: of the distance from the others' mean answer, 0 to 1.
    `temperature`: by which logits are divided, above 0.
    `alone`: the share of the training that each begins alone, 0 to below 1. Answers of a student
        that has learned little do harm.
    """

    weight: float = 0.5
    temperature: float = 1.0
    alone: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.alone < 1:
            raise ValueError(f"{self.alone} of the training alone: give a share, 0 to below 1")

    def first(self, steps: int) -> int:
        """The step at which the students begin to learn from each other."""
        return round(self.alone * steps)

    def lesson(self, task: Task, others: Sequence[nn.Module]) -> Task:
        """The task, taught by the others."""
        teacher = others[0] if len(others) == 1 else Ensemble(others)
        return Taught(task, teacher, self.weight, self.temperature)


def codistill(
    students: Sequence[nn.Module],
    task: Task,
    training: Training,
    *,
    exchange: EachStep | Copies = EachStep(),
    peers: Peers = Peers(),
) -> list[nn.Module]:
    """Copies of the students, each trained on its own loss and on the answers of the others.

    They see the same batches, and one optimizer step trains each as it would alone. Networks may
    differ, as long as their answers have one shape. Takes the time of training all of them, and of
    a forward pass of each other student for each. A training that is killed goes on within
    `kit.resuming`. A task whose batches depend on the model gets the first student.
    Source: Zhang et al. 2018, section 2 (deep mutual learning, EachStep); Anil et al. 2018, section
    2 (Copies).
    Differs: one distance from the mean answer, with a temperature, where there are three or more.

    `students`: two or more, untrained and each with its own weights: equal ones learn nothing from
        each other.
    `exchange`: EachStep(), or Copies(every) of the others.
    `peers`: the weight and temperature of the others' answers, and how long each begins alone.

    Raises ValueError for fewer than two students, for two of equal weights and for students on
    several devices.
    """
    check_students(students)
    trained = [clone(one) for one in students]
    copies = [] if isinstance(exchange, EachStep) else [clone(one) for one in students]
    shown = copies or trained
    lessons = [peers.lesson(task, _without(shown, index)) for index in range(len(trained))]
    first, learns = peers.first(training.steps), [False]

    def before_step(step: int) -> None:
        learns[0] = step >= first
        if isinstance(exchange, Copies) and learns[0] and (step - first) % exchange.every == 0:
            for copy, live in zip(copies, trained, strict=True):
                copy.load_state_dict(live.state_dict())

    train(
        _Together(trained, copies),
        _Lessons(task, tuple(lessons), learns),
        training,
        before_step=before_step,
        what=f"training {len(trained)} students",
        key=f"{exchange!r} {peers!r}",
    )
    return trained


def check_students(students: Sequence[nn.Module]) -> None:
    """Raise ValueError for fewer than two students, and for two that are equal."""
    if len(students) < 2:
        raise ValueError(
            f"{len(students)} students cannot teach each other: give two or more modules"
        )
    for index, one in enumerate(students):
        for number, other in enumerate(students[:index]):
            if _equal(one, other):
                raise ValueError(
                    f"the students {number} and {index} have equal weights, so that neither learns "
                    "from the other: make them one after the other, with other random numbers"
                )


def _equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = [list(model.parameters()) for model in (one, other)]
    return len(pairs[0]) == len(pairs[1]) and all(
        a.shape == b.shape and torch.equal(a, b) for a, b in zip(*pairs, strict=True)
    )


def _without(students: Sequence[nn.Module], index: int) -> list[nn.Module]:
    return [one for number, one in enumerate(students) if number != index]


class _Together(nn.Module):
    """All students, so that one training has all their weights, and snapshots of it the copies."""

    def __init__(self, students: Sequence[nn.Module], copies: Sequence[nn.Module]) -> None:
        super().__init__()
        self.students = nn.ModuleList(students)
        self.copies = nn.ModuleList(copies).requires_grad_(False)


@dataclass(frozen=True, eq=False)
class _Lessons(View):
    """The sum of the students' losses, so that each gets the gradients that it would get alone.

    `learns`: whether students learn from each other yet, in a list of one.
    """

    task: Task
    lessons: tuple[Task, ...]
    learns: list[bool]

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        first = model.students[0] if isinstance(model, _Together) else model
        return asked(self.task, split, first)

    def loss(self, model: Any, batch: Any) -> Any:
        losses: list[Callable[[Any, Any], Any]] = [
            lesson.loss if self.learns[0] else self.task.loss for lesson in self.lessons
        ]
        return sum(loss(one, batch) for loss, one in zip(losses, model.students, strict=True))
