"""Views: a task seen through another, such as one with its test split sealed, or with a teacher."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from inspect import ismethod
from typing import Any, ClassVar, Protocol, Self, final, runtime_checkable

from shoestring.core.task import Predict, SealedError, Task, evaluating


class View(Task):
    """A task that is another task but for its loss: all else, attributes too, is the other's.

    A dataclass that derives from it has the other task as its first field, and writes `loss`. `_seals`: whether the test split, and
    every attribute that has the word "test" in its name, raises SealedError, and tasks within the task are sealed too.
    """

    _seals: ClassVar[bool] = False

    @abstractmethod
    def loss(self, model: Any, batch: Any) -> Any: ...

    @property
    def _seen(self) -> Task:
        return getattr(self, _first(self))

    def _open(self, split: str) -> str:
        if self._seals and split == "test":
            raise SealedError("the test split is sealed: choose on 'validation', and let prove() read 'test' once, at the end")
        return split

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The other task's."""
        return self._seen.name

    def batches(self, split: str) -> Iterable[Any]:
        return self._seen.batches(self._open(split))

    def score(self, predict: Predict, split: str) -> float:
        return self._seen.score(predict, self._open(split))

    def merits(self, predict: Predict, split: str) -> Any:
        return self._seen.merits(predict, self._open(split))

    def standard_error(self, predict: Predict, split: str) -> float | None:
        return self._seen.standard_error(predict, self._open(split))

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self._seen.example()

    def sampled(self, examples: int, seed: int) -> Self:
        """The same view of the other task's sample."""
        sample = self._seen.sampled(examples, seed)
        return self if sample is self._seen else replace(self, **{_first(self): sample})  # type: ignore[type-var]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == _first(self):  # a copy half made has none yet
            raise AttributeError(name)
        if not self._seals:
            return getattr(self._seen, name)
        if "test" in name.split("_"):
            self._open("test")
        value = getattr(self._seen, name)
        if not ismethod(value):
            return _sealed(value)

        def sealed(*args: Any, **kwargs: Any) -> Any:
            for argument in (*args, *kwargs.values()):
                if isinstance(argument, str):
                    self._open(argument)
            return _sealed(value(*args, **kwargs))

        return sealed


def _first(view: Any) -> str:
    return fields(view)[0].name


@runtime_checkable
class _Splits(Protocol):
    """What has splits is sealed, whether it derives from Task or not."""

    def batches(self, split: str) -> Iterable[Any]: ...

    def score(self, predict: Predict, split: str) -> float: ...


def _sealed(value: Any) -> Any:
    return Sealed(value) if isinstance(value, _Splits) else value  # type: ignore[arg-type]


@final
@dataclass(frozen=True, eq=False)
class Sealed(View):
    """A task whose test split raises. What else the task has (an oracle, say) is reached through it.

    An attribute with the word "test" in its name is taken for the test split; tasks within the task are sealed too.
    """

    _seals: ClassVar[bool] = True
    _task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)


@final
@dataclass(frozen=True, eq=False)
class Taught(View):
    """Distillation: (1 - weight) × the task's own loss + weight × the distance from the teacher's outputs.

    The distance is the Kullback-Leibler divergence of softened outputs, times temperature², where an output has a last axis
    of two or more (classes), and the squared error where it has one (a number). The teacher answers the very calls that the
    loss makes, so that a task without inputs and targets is taught just as well.
    Source: Hinton, Vinyals & Dean 2015, section 2.
    """

    task: Task
    teacher: Any
    weight: float = 0.7
    temperature: float = 3.0

    def loss(self, model: Any, batch: Any) -> Any:
        import torch

        distances: list[Any] = []
        learning = torch.is_grad_enabled()

        def compare(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
            if torch.is_grad_enabled() != learning:
                return  # the loss looks ahead (plays a game, searches a beam): nothing is learned from that
            with torch.no_grad():
                answer = self.teacher(*args, **kwargs)
            pairs = zip(_floats(output), _floats(answer), strict=True)
            distances.append(sum(self._distance(ours, theirs) for ours, theirs in pairs))

        hook = model.register_forward_hook(compare, with_kwargs=True)
        try:
            with evaluating(self.teacher):
                own = self.task.loss(model, batch)
        finally:
            hook.remove()
        if not distances:
            raise RuntimeError("the task's loss never called the model, so that there is nothing to compare with the teacher")
        return (1 - self.weight) * own + self.weight * sum(distances) / len(distances)

    def _distance(self, ours: Any, theirs: Any) -> Any:
        from torch.nn import functional

        if ours.ndim == 0 or ours.shape[-1] == 1:
            return functional.mse_loss(ours, theirs)
        t = self.temperature
        p, q = functional.log_softmax(theirs.float() / t, -1), functional.log_softmax(ours.float() / t, -1)
        apart = (p.exp() * (p - q)).masked_fill(p.isneginf(), 0)  # what the teacher rules out costs nothing
        return apart.sum(-1).mean() * t * t


def _floats(output: Any) -> list[Any]:
    """The floating-point tensors of a nested output, in order; of one that has `logits`, only these."""
    if hasattr(output, "is_floating_point"):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping) and "logits" in output:
        return _floats(output["logits"])
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    return [leaf for value in values for leaf in _floats(value)]
