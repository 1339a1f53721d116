"""Views: a task seen through another, such as one with its test split sealed, or with a teacher."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from inspect import ismethod
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast, final, runtime_checkable

from shoestring.core.entries import Call, called, calls_of
from shoestring.core.inferred import Told, in_words, settle
from shoestring.core.kinds import Kinds, Own, outputs_of, shown
from shoestring.core.task import (
    Predict,
    SealedError,
    Task,
    as_in_training,
    asked,
    evaluating,
    seeded,
)

if TYPE_CHECKING:
    from shoestring.core.labels import LabelTask


class View(Task):
    """A task that is another task but for its loss: all else, attributes too, is the other's.

    A dataclass that derives from it has the other task as its first field, and writes `loss`.
    `_wraps`: whether tasks within the task, and those that its methods return, are seen through the
        view too.
    `_seals`: whether, besides, the test split, and every attribute that has the word "test" in its
        name, raises SealedError.
    """

    _wraps: ClassVar[bool] = False
    _seals: ClassVar[bool] = False

    @abstractmethod
    def loss(self, model: Any, batch: Any) -> Any: ...

    @property
    def _seen(self) -> Task:
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
        """The other task's."""
        return self._seen.name

    @property
    def kinds(self) -> Kinds:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The other task's."""
        return self._seen.kinds

    def teaching(self) -> str:
        return self._seen.teaching()

    def taught_by(self, teacher: Any) -> Task:
        """The same task with a loss that also asks for the teacher's answers.

        This one where the other has its teacher and takes no second.
        """
        return self if self._seen.taught_by(teacher) is self._seen else super().taught_by(teacher)

    @property
    def has_test(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The other task's."""
        return self._seen.has_test

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return asked(self._seen, self._open(split), model)

    def score(self, predict: Predict, split: str) -> float:
        return self._seen.score(predict, self._open(split))

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        return self._seen.scores(predict, self._open(split))

    def merits(self, predict: Predict, split: str) -> Any:
        return self._seen.merits(predict, self._open(split))

    def standard_error(self, predict: Predict, split: str) -> float | None:
        return self._seen.standard_error(predict, self._open(split))

    def example(self) -> Call | Mapping[str, Call]:
        return self._seen.example()

    def sampled(self, examples: int, seed: int) -> Self:
        """The same view of the other task's sample."""
        return self._around(self._seen.sampled(examples, seed))

    def labelled(self) -> LabelTask | None:
        """This view, where the other task has labels that can be bought and changed."""
        return None if self._seen.labelled() is None else cast("LabelTask", self)

    def buy(self, places: Any) -> Self:
        """The same view of the other task with these labels bought, see `core.LabelTask`.

        Raises TypeError where it has none.
        """
        from shoestring.core.labels import label_task

        return self._around(label_task(self._seen).buy(places))

    def with_labels(self, labels: Any, weights: Any = None, places: Any = None) -> Self:
        """The same view of the other task with these labels, see `core.LabelTask`.

        Raises TypeError where it has none.
        """
        from shoestring.core.labels import label_task

        return self._around(label_task(self._seen).with_labels(labels, weights, places))

    def _around(self, task: Task) -> Self:
        """The same view of another task."""
        return self if task is self._seen else replace(self, **{_first(self): task})  # type: ignore[type-var]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == _first(self):  # a copy half made has none yet
            raise AttributeError(name)
        if not self._wraps:
            return getattr(self._seen, name)
        if "test" in name.split("_"):
            self._open("test")
        value = getattr(self._seen, name)
        if not ismethod(value):
            return self._wrapped(value)

        def method(view: Self, *args: Any, **kwargs: Any) -> Any:
            for argument in (*args, *kwargs.values()):
                if isinstance(argument, str):
                    view._open(argument)
            return view._wrapped(value(*args, **kwargs))

        return MethodType(
            method, self
        )  # a method, so that a view of this view wraps what it returns too

    def _wrapped(self, value: Any) -> Any:
        return self._around(value) if isinstance(value, _Splits) else value  # type: ignore[arg-type]


def _first(view: Any) -> str:
    return fields(view)[0].name


@runtime_checkable
class _Splits(Protocol):
    """What has splits is sealed, whether it derives from Task or not."""

    def batches(self, split: str) -> Iterable[Any]: ...

    def score(self, predict: Predict, split: str) -> float: ...


@final
@dataclass(frozen=True, eq=False)
class Sealed(View):
    """A task whose test split raises.

    What else the task has (a pool of labels, say) is reached through it.
    An attribute with the word "test" in its name is taken for the test split; tasks within the task
    are sealed too.
    """

    _wraps: ClassVar[bool] = True
    _seals: ClassVar[bool] = True
    _task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)


_LOOKS = 8
"""Answers that are compared before what a teacher gives in training is taken for what it always
gives there.
"""
_Key = tuple[str, tuple[str, ...]]
"""The name of an entry of a model, or the path of a part, "" for the model, and the paths of its
outputs.
"""


@final
@dataclass(frozen=True, eq=False)
class Taught(View):
    """Distillation: (1 - weight) × the task's own loss + weight × the distance from the teacher's
    outputs.

    The distance of an output follows its kind (`core.kinds`): what the task declares in `kinds`,
    else what its loss does with the output, else what the teacher's values look like; distances of
    several outputs are added up. The teacher answers the very calls that the loss makes, so that a
    task without inputs and targets is taught just as well. One whose forward() gives something else
    in training than in evaluation (a second head, logits in place of probabilities) answers as in
    training, with its batch norms and dropouts as in evaluation.
    Source: Hinton, Vinyals & Dean 2015, section 2.
    """

    task: Task
    teacher: Any
    weight: float = 0.7
    temperature: float = 3.0
    _found: dict[_Key, dict[str, Told]] = field(default_factory=dict, repr=False)
    _modes: dict[_Key, bool] = field(default_factory=dict, repr=False)
    """Whether the teacher answers as in training."""

    def loss(self, model: Any, batch: Any) -> Any:
        known: Mapping[str, Any] = {name: called(self.teacher, name) for name in self._entries}
        by_parts = any(
            part not in known for part, _ in self._modes
        )  # the loss has called these before, and no entry
        parts = dict(self.teacher.named_modules())
        calls, own = self._heard(model, batch, parts if by_parts else known)
        if not calls and not by_parts:
            calls, own = self._heard(model, batch, parts)
        if not calls:
            raise RuntimeError(
                "the task's loss called neither the model nor a part of it, so that there is "
                "nothing to compare with the teacher: have it call "
                "the model as a module is called, model(...) or model.part(...)"
            )
        for part, _, answer in calls:
            if (part, tuple(outputs_of(answer))) not in self._found:
                self._find_out(
                    model,
                    batch,
                    part,
                    answer,
                    own,
                    [output for name, output, _ in calls if name == part],
                )
        distances = [self._apart(*call) for call in calls]
        return (1 - self.weight) * own + self.weight * sum(distances) / len(distances)

    @cached_property
    def _entries(self) -> tuple[str, ...]:
        """The names of the model's entries; "" for a model that is called itself."""
        with seeded(0):
            return tuple(calls_of(self.task.example()))

    def _heard(
        self, model: Any, batch: Any, known: Mapping[str, Any]
    ) -> tuple[list[tuple[str, Any, Any]], Any]:
        """The outputs of the model that the loss asks for, each with the name of the entry or part
        that gave it and the teacher's answer; and the loss. `known`: what is listened to, the
        teacher's by name: entries, or parts that the loss itself calls (`model.encoder(x)`).
        """
        import torch

        calls: list[tuple[str, Any, Any]] = []
        learning, inside = torch.is_grad_enabled(), 0

        def enter() -> None:
            nonlocal inside
            inside += 1

        def hear(name: str, args: Any, kwargs: Any, output: Any) -> None:
            nonlocal inside
            inside -= 1
            if inside or torch.is_grad_enabled() != learning:
                # the loss looks ahead (plays a game, searches a beam): nothing is learned from that
                return
            with torch.no_grad():
                calls.append(
                    (
                        name,
                        output,
                        self._answer(known[name], (name, tuple(outputs_of(output))), args, kwargs),
                    )
                )

        modules = dict(model.named_modules())
        with ExitStack() as stack:
            for name in known:
                own = modules.get(name, getattr(model, name, None)) if name != "forward" else model
                if own is not None:
                    stack.enter_context(_listening(model, name, own, enter, partial(hear, name)))
            with evaluating(self.teacher):
                return calls, self.task.loss(model, batch)

    def _answer(self, teacher: Any, key: _Key, args: Any, kwargs: Any) -> Any:
        """The teacher's, in evaluation.

        As it answers in training where that is something else (more outputs, logits in place of
        probabilities).
        """
        if key not in self._modes:
            self._modes[key] = self._has_two(teacher, key[1], args, kwargs)
        if not self._modes[key]:
            return teacher(*args, **kwargs)
        with as_in_training(self.teacher):
            return teacher(*args, **kwargs)

    def _has_two(self, teacher: Any, names: tuple[str, ...], args: Any, kwargs: Any) -> bool:
        """Whether it answers in training as the model does, and otherwise in evaluation.

        Not where the two differ by chance (stochastic depth).
        """
        answer = teacher(*args, **kwargs)
        other = self._look(teacher, 0, args, kwargs)
        if tuple(outputs_of(other)) != names:
            return False
        if _shapes(answer) != _shapes(other):
            return True
        if _are_alike(answer, other):
            return False
        return all(
            _are_alike(other, self._look(teacher, seed, args, kwargs)) for seed in range(1, _LOOKS)
        )

    def _look(self, teacher: Any, seed: int, args: Any, kwargs: Any) -> Any:
        """How it answers in training; no random number of the training depends on it."""
        with seeded(seed), as_in_training(self.teacher):
            return teacher(*args, **kwargs)

    def teaching(self) -> str:
        """What is taught, in words, as the loss has found out so far."""
        told = ((part, in_words(found)) for (part, _), found in self._found.items())
        return (
            "; ".join(
                f"{part}: {words}" if part and part in self._entries else words
                for part, words in told
            )
            or self.task.teaching()
        )

    def _find_out(
        self, model: Any, batch: Any, part: str, answer: Any, own: Any, outputs: list[Any]
    ) -> None:
        """Settle the kinds of outputs of a structure, once.

        By a loss that has gradients, without them by the loss anew.
        """
        import torch

        if not torch.is_grad_enabled():
            outputs = []

            def hear(_args: Any, _kwargs: Any, output: Any) -> None:
                if torch.is_grad_enabled():
                    outputs.append(output)

            target = dict(model.named_modules()).get(part) or called(model, part)
            listening = _listening(model, part, target, lambda: None, hear)
            with listening, seeded(0), evaluating(model), torch.enable_grad():
                own = self.task.loss(model, batch)
        names = tuple(outputs_of(answer))
        all_close = [one for one in outputs if tuple(outputs_of(one)) == names]
        self._found[part, names] = settle(self._kinds(part), own, all_close, answer)

    def _kinds(self, part: str) -> Kinds:
        """What the task declares of an entry: what it has under its name, or of all entries."""
        declared = self.task.kinds
        if part and isinstance(declared, Mapping) and declared.keys() <= set(self._entries):
            return declared.get(part)
        return declared

    def _apart(self, part: str, output: Any, answer: Any) -> Any:
        """How far an output is from the teacher's."""
        ours, theirs = outputs_of(output), outputs_of(answer)
        found = self._found[part, tuple(theirs)]
        if found.keys() == {""} and isinstance(found[""].kind, Own):
            return found[""].kind.apart(output, answer, self.temperature)
        if lacking := [path for path in found if path not in ours]:
            raise ValueError(
                f"the teacher gives {_listed(theirs)} in evaluation, and the model "
                f"{_listed(ours)} in training: {shown(lacking[0])} cannot be "
                "taught. Return the same outputs in both modes, or declare the task's `kinds` "
                "with NotTaught() for it"
            )
        return sum(
            told.kind.apart(ours[path], theirs[path], self.temperature)
            for path, told in found.items()
        )


@contextmanager
def _listening(
    model: Any,
    name: str,
    target: Any,
    enter: Callable[[], None],
    hear: Callable[[Any, Any, Any], None],
) -> Iterator[None]:
    """Within, `enter` is called before each call of `target`, a part or the method `name` of a
    model, and `hear` after it: with args, kwargs and output.
    """
    from torch import nn

    if isinstance(target, nn.Module):
        hooks = [
            target.register_forward_pre_hook(lambda _module, _args: enter()),
            target.register_forward_hook(
                lambda _module, args, kwargs, output: hear(args, kwargs, output), with_kwargs=True
            ),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
    else:

        def told(*args: Any, **kwargs: Any) -> Any:
            enter()
            output = target(*args, **kwargs)
            hear(args, kwargs, output)
            return output

        vars(model)[name] = told  # goes before the method of the class
        try:
            yield
        finally:
            del vars(model)[name]


def _shapes(output: Any) -> dict[str, tuple[int, ...]]:
    return {path: tuple(one.shape) for path, one in outputs_of(output).items()}


def _are_alike(one: Any, other: Any) -> bool:
    """Whether two answers of one structure are the same but for rounding."""
    from torch import allclose

    pairs = zip(outputs_of(one).values(), outputs_of(other).values(), strict=True)
    return all(
        allclose(a.float(), b.float(), rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in pairs
    )


def _listed(outputs: Mapping[str, Any]) -> str:
    return ", ".join(map(shown, outputs)) or "nothing"
