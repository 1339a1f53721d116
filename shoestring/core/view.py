"""Views: tasks that wrap another task, such as one with a sealed test split or with a teacher."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from inspect import ismethod
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast, final, runtime_checkable

from shoestring.artifact.chains.input_chain import InputChain
from shoestring.core.entries import Call
from shoestring.core.kinds import Kinds
from shoestring.core.task import (
    Predict,
    SealedError,
    Task,
    asked,
)

if TYPE_CHECKING:
    from shoestring.core.labels import LabelTask


class View(Task):
    """A task that wraps another task: its loss is its own, everything else is the other task's.

    Derive a dataclass from it, with the wrapped task as its first field, and write `loss`.
    `_wraps`: whether tasks inside the task, and tasks that its methods return, are wrapped too.
    `_seals`: with `_wraps`, whether the test split, and each attribute with the word "test" in its
        name, raises SealedError.
    """

    _wraps: ClassVar[bool] = False
    _seals: ClassVar[bool] = False

    @abstractmethod
    def loss(self, model: Any, batch: Any) -> Any: ...

    @property
    def _inner(self) -> Task:
        return getattr(self, _first(self))

    def _open(self, split: str) -> str:
        if self._seals and split == "test":
            raise SealedError(
                "the test split is sealed: choose on 'validation', and let prove() read 'test' "
                "once, at the end"
            )
        return split

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The name of the wrapped task."""
        return self._inner.name

    @property
    def kinds(self) -> Kinds:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The kinds of the wrapped task."""
        return self._inner.kinds

    def teaching(self) -> str:
        return self._inner.teaching()

    def taught_by(self, teacher: Any) -> Task:
        """The same task, whose loss adds the distance from the teacher's outputs (distillation).

        Returns itself where the wrapped task has a teacher already and takes no second one.
        """
        return self if self._inner.taught_by(teacher) is self._inner else super().taught_by(teacher)

    def taught_at(self, weight: float, temperature: float) -> Task:
        return self._around(self._inner.taught_at(weight, temperature))

    @property
    def has_test(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the wrapped task has a test split."""
        return self._inner.has_test

    @property
    def input_chain(self) -> InputChain | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The input chain of the wrapped task."""
        return self._inner.input_chain

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return asked(self._inner, self._open(split), model)

    def score(self, predict: Predict, split: str) -> float:
        return self._inner.score(predict, self._open(split))

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        return self._inner.scores(predict, self._open(split))

    def merits(self, predict: Predict, split: str) -> Any:
        return self._inner.merits(predict, self._open(split))

    def standard_error(self, predict: Predict, split: str) -> float | None:
        return self._inner.standard_error(predict, self._open(split))

    def example(self) -> Call | Mapping[str, Call]:
        return self._inner.example()

    def others(self) -> Mapping[str, Task]:
        """Those of the wrapped task; sealed where this view seals."""
        found = self._inner.others()
        return {name: one.sealed() for name, one in found.items()} if self._seals else found

    def sampled(self, examples: int, seed: int) -> Self:
        """The same view of a sample of the wrapped task."""
        return self._around(self._inner.sampled(examples, seed))

    def labelled(self) -> LabelTask | None:
        """This view where the wrapped task's labels can be bought and changed; None elsewhere."""
        return None if self._inner.labelled() is None else cast("LabelTask", self)

    def buy(self, indices: Any) -> Self:
        """The same view of the wrapped task with these labels bought (`core.LabelTask.buy`).

        Raises TypeError where the wrapped task sells no labels.
        """
        from shoestring.core.labels import label_task

        return self._around(label_task(self._inner).buy(indices))

    def with_labels(self, labels: Any, weights: Any = None, indices: Any = None) -> Self:
        """The same view of the wrapped task with these labels (`core.LabelTask.with_labels`).

        Raises TypeError where the wrapped task's labels cannot be changed.
        """
        from shoestring.core.labels import label_task

        return self._around(label_task(self._inner).with_labels(labels, weights, indices))

    def recalled(self, indices: Any, labels: Any) -> Self:
        """The same view of the wrapped task with these labels (`core.LabelTask.recalled`).

        Raises TypeError where the wrapped task cannot take them up.
        """
        from shoestring.core.labels import label_task

        return self._around(label_task(self._inner).recalled(indices, labels))

    def _around(self, task: Task) -> Self:
        """The same view of another task."""
        return self if task is self._inner else replace(self, **{_first(self): task})  # type: ignore[type-var]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == _first(self):  # while a copy is made, it is not set
            raise AttributeError(name)
        if not self._wraps:
            return getattr(self._inner, name)
        if "test" in name.split("_"):
            self._open("test")
        value = getattr(self._inner, name)
        if not ismethod(value):
            return self._wrapped(value)

        def method(view: Self, *args: Any, **kwargs: Any) -> Any:
            for argument in (*args, *kwargs.values()):
                if isinstance(argument, str):
                    view._open(argument)
            return view._wrapped(value(*args, **kwargs))

        # a method, so that a view of this view wraps what it returns too
        return MethodType(method, self)

    def _wrapped(self, value: Any) -> Any:
        return self._around(value) if isinstance(value, _Splits) else value  # type: ignore[arg-type]


def _first(view: Any) -> str:
    return fields(view)[0].name


@runtime_checkable
class _Splits(Protocol):
    """An object with splits, which is wrapped whether it derives from Task or not."""

    def batches(self, split: str) -> Iterable[Any]: ...

    def score(self, predict: Predict, split: str) -> float: ...


@final
@dataclass(frozen=True, eq=False)
class Sealed(View):
    """A task whose test split raises SealedError.

    Everything else that the task has, such as a pool of labels, is reached through it. An attribute
    with the word "test" in its name counts as the test split. Tasks inside the task are sealed too.
    """

    _wraps: ClassVar[bool] = True
    _seals: ClassVar[bool] = True
    _task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)
