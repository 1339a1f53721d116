"""A task to adapt to, with the abilities that the model has and is not to forget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoestring.core import Predict, Task, View, check_task
from shoestring.core.entries import Call, calls_of


@dataclass(frozen=True, eq=False)
class Keeping(View):
    """The task, and the other tasks of the same model, by name.

    Its loss and its score are those of the task. Its further scores are those of the others, so
    that a budget limits what adapting may cost, as in `drop(zero to four)<=1%`. `Rehearsal` and
    `LearningWithoutForgetting` keep the others; `forgetting` and `adapted` say what was lost.

        task = Keeping(five_to_nine, {"zero to four": zero_to_four})

    A model with a head for each task has an entry for each, which the tasks call by name.

    `task`: to adapt to.
    `kept`: the other tasks, by name; 1 or more.

    Raises TypeError for what is no task, and ValueError for no other task, and for tasks of which
    some name entries and some do not.
    """

    task: Task
    kept: Mapping[str, Task] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.kept:
            raise ValueError(
                "kept= names no other task: give those that the model can do, as in "
                "Keeping(task, {'old': old_task})"
            )
        for one in (self.task, *self.kept.values()):
            check_task(one)

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch)

    def others(self) -> Mapping[str, Task]:
        return dict(self.kept)

    def scores(self, predict: Predict, split: str) -> dict[str, float]:
        """The task's own further scores, and the score of each other task that has the split."""
        theirs = {
            name: float(one.score(predict, split))
            for name, one in self.kept.items()
            if split != "test" or one.has_test
        }
        return {**self.task.scores(predict, split), **theirs}

    def example(self) -> Call | Mapping[str, Call]:
        """The task's example; where tasks name entries, those of all."""
        return examples_joined([self.task, *self.kept.values()])


def examples_joined(tasks: list[Task]) -> Call | Mapping[str, Call]:
    """The example of a model that does all of these tasks.

    Raises ValueError where some tasks name entries and some do not.
    """
    found = [calls_of(one.example()) for one in tasks]
    named = ["" not in calls for calls in found]
    if any(named) and not all(named):
        raise ValueError(
            f"{tasks[named.index(False)].name or 'a task'} calls the model itself, and "
            f"{tasks[named.index(True)].name or 'another'} an entry of it: have all tasks name an "
            "entry, or none (`Entry(task, 'name')` names one)"
        )
    joined = {name: call for calls in reversed(found) for name, call in calls.items()}
    return joined.get("", joined)
