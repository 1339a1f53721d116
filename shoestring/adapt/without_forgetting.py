"""Learning without forgetting: the old answers to the new examples are kept, by distillation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.adapt.rehearsal import check_weight, others_of
from shoestring.core import Stage, Task, Technique, View, batches, evaluating, seeded
from shoestring.core.entries import called, calls_of
from shoestring.core.inferred import Told, settle
from shoestring.core.kinds import ClassLogits, Own, Probabilities, outputs_of
from shoestring.kit import AdamW, Training, bake, check_finite, clone, train

_Heard = list[tuple[tuple[Any, ...], dict[str, Any], Any]]
"""(args, kwargs, output) of each call."""


@dataclass(frozen=True, kw_only=True)
class LearningWithoutForgetting(Technique):
    """Train on the task, taught to answer its inputs for the other tasks as the model did before.

    Saves: nothing of a Cost: it keeps scores of the other tasks, without an example of them.
    Costs: a call of the model as it was, and one more of its own for each entry; score on the task.
    Source: Li & Hoiem 2016, section 3.
    Differs: the new head is not trained alone first. The distance follows the kind of the old
    outputs (`core.kinds`). Where old and new classes are outputs of one head, only those outputs
    are taught whose classes the old task has.

    `weight`: of the mean distance beside the task's own loss, above 0; the paper has 1.
    `temperature`: by which logits are divided, above 0; the paper has 2.
    `training`: on the task's examples.

    The others are those of the task (`Keeping`). With one head for all classes it keeps little:
    what is new is never compared with what is old. Raises ValueError for a task without others,
    numbers out of range, and an entry that is no module.
    """

    stage: ClassVar = Stage.LABELS

    weight: float = 1.0
    temperature: float = 2.0
    training: Training = Training(300, AdamW(1e-3))

    def __post_init__(self) -> None:
        check_weight(self.weight)
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature}: give a number above 0, such as 2.0")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model that was trained on the task and on its own old answers."""
        check_finite(model)
        teacher = bake(clone(model)).eval().requires_grad_(False)
        taught = [
            lesson for other in others_of(task).values() for lesson in _lessons(teacher, other)
        ]
        entries = tuple(calls_of(task.example()))
        lesson = _Remembering(task, teacher, taught, entries, self.weight, self.temperature)
        return train(
            clone(model), lesson, self.training, what="learning without forgetting", key=repr(self)
        )


@dataclass(frozen=True)
class _Lesson:
    """What is taught of an entry.

    `entry`: its name; "" for the model itself.
    `kinds`: of its outputs, by path.
    `classes`: the classes that the old task has; None for all outputs.
    """

    entry: str
    kinds: Mapping[str, Told]
    classes: Tensor | None

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Tensor:
        """The distance of the model's outputs from the teacher's: a scalar."""
        own, old, parts = outputs_of(ours), outputs_of(theirs), []
        for path, told in self.kinds.items():
            kind, mine, before = told.kind, own[path], old[path]
            if isinstance(kind, Own):
                return kind.apart(ours, theirs, temperature)
            if self.classes is not None and isinstance(kind, ClassLogits | Probabilities):
                mine = mine.index_select(kind.axis, self.classes)
                before = before.index_select(kind.axis, self.classes)
            parts.append(kind.apart(mine, before, temperature))
        return torch.stack(parts).sum()


def _lessons(teacher: nn.Module, other: Task) -> list[_Lesson]:
    """What another task asks of the model: its entries, and the kinds of their outputs."""
    found = []
    for entry in calls_of(other.example()):
        target = _module(teacher, entry)
        with _listening(target) as heard, seeded(0), evaluating(teacher), torch.enable_grad():
            teacher.requires_grad_(True)
            loss = other.loss(teacher, next(iter(batches(other, "train", teacher))))
            teacher.requires_grad_(False)
        if not heard:
            raise ValueError(
                f"the loss of {other.name or 'a task'} does not call {entry or 'the model'}: what "
                "it answers cannot be kept"
            )
        outputs = [output for _, _, output in heard]
        kinds = settle(other.kinds, loss, outputs, outputs[0])
        found.append(_Lesson(entry, kinds, _classes(other, kinds, outputs[0])))
    return found


def _classes(task: Task, kinds: Mapping[str, Told], outputs: Any) -> Tensor | None:
    """The classes that a task has, where its outputs are classes and it has not all of them."""
    labelled, told = task.labelled(), next(iter(kinds.items()), None)
    if labelled is None or told is None or not isinstance(told[1].kind, ClassLogits):
        return None
    labels = torch.as_tensor(labelled.labels(labelled.known())).unique()
    count = outputs_of(outputs)[told[0]].shape[told[1].kind.axis]
    is_some = not labels.is_floating_point() and len(labels) < count
    return labels if is_some and 0 <= int(labels.min()) <= int(labels.max()) < count else None


def _module(model: nn.Module, entry: str) -> nn.Module:
    target = called(model, entry)
    if not isinstance(target, nn.Module):
        raise ValueError(
            f"the entry {entry!r} is a method: what it answers is kept of parts of the model, such "
            "as those of an nn.ModuleDict"
        )
    return target


@contextmanager
def _listening(target: nn.Module) -> Iterator[_Heard]:
    heard: _Heard = []
    hook = target.register_forward_hook(
        lambda _, args, kwargs, output: heard.append((args, kwargs, output)), with_kwargs=True
    )
    try:
        yield heard
    finally:
        hook.remove()


@dataclass(frozen=True, eq=False)
class _Remembering(View):
    """The task, whose loss adds how far the old answers to its inputs have moved."""

    task: Task
    teacher: nn.Module
    lessons: list[_Lesson]
    entries: tuple[str, ...]
    weight: float
    temperature: float

    def loss(self, model: Any, batch: Any) -> Tensor:
        with ExitStack() as stack:
            heard = {
                entry: stack.enter_context(_listening(_module(model, entry)))
                for entry in self.entries
            }
            loss = self.task.loss(model, batch)
        distances = [
            self._apart(lesson, model, entry, *call)
            for entry, calls in heard.items()
            for call in calls
            for lesson in self.lessons
        ]
        if not distances:
            raise ValueError(
                f"the loss of {self.task.name or 'the task'} calls no entry of the model that the "
                "tasks name: there is nothing to compare"
            )
        return loss + self.weight * torch.stack(distances).mean()

    def _apart(
        self, lesson: _Lesson, model: Any, entry: str, args: Any, kwargs: Any, output: Any
    ) -> Tensor:
        """How far the old answers to the inputs of a call have moved."""
        same = lesson.entry == entry
        ours = output if same else called(model, lesson.entry)(*args, **kwargs)
        with torch.no_grad():
            theirs = called(self.teacher, lesson.entry)(*args, **kwargs)
        return lesson.apart(ours, theirs, self.temperature)
