"""A new network of another kind in the model's place, of any width of a family."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import nn

from shoestring.artifact import tree
from shoestring.core import Stage, Strength, Task, Technique, device_of, evaluating, seeded
from shoestring.core.device import called_from_processor
from shoestring.core.kinds import outputs_of, shown
from shoestring.distill.networks import Given
from shoestring.distill.student import SoftTargets, Student
from shoestring.kit import AdamW, ShortfallWarning, Training, parameter_bytes
from shoestring.kit.tracing.example import Example, examples_of
from shoestring.kit.tracing.operations import counted_as_trained


@dataclass(frozen=True, kw_only=True)
class Replace(Technique):
    """Train a new network of another kind in the model's place, with the model as its teacher.

    It is `Student` with a network of a family: what is turned is the width of the new network.

    Saves: operations, milliseconds and bytes: the new network is a cheaper one.
    Costs: the time of `training`, which is that of a new network; score. The file is no longer one
        of the model's class: `by(width)` makes the module that it can be loaded into.
    Source: Hinton, Vinyals & Dean 2015, section 2 (soft targets).

    `width`: of the new network, above 0; 1 is the size at which the family was published, whatever
        size the model has.
    `by`: the family: makes an untrained network of a width. Those of `models` fit other networks'
        images and texts (`VGGFamily`); a function of your own in a module does too. Its name with
        its module, or its repr, is a part of this technique's name, and must be the same in every
        process.
    `targets`: how the model's answers are taught, or those of a teacher that the task has already.
    `training`: of the new network; Training(0) leaves it untrained.

    A ShortfallWarning says where the new network has more bytes of weights or more operations than
    the model. Raises ValueError for a width that is not above 0, for images of a side for
    which the family makes another network, and for a network whose answers have other shapes than
    the model's; TypeError where `by` is no function or makes no module.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="width", gentle=2.0, harsh=0.1, logarithmic=True)

    width: float = 1.0
    by: Callable[[float], nn.Module]
    targets: SoftTargets = SoftTargets()
    training: Training = Training(2000, AdamW(3e-3, weight_decay=0.05))

    def __post_init__(self) -> None:
        if isinstance(self.by, nn.Module):
            raise TypeError(
                f"by is a module ({type(self.by).__name__}), which has one width: give a function "
                "that makes one of a width, or Student(network=Given(module))"
            )
        if isinstance(self.by, type) and self.by.__module__.startswith("torch.nn."):
            raise TypeError(
                f"by is the layer torch.nn.{self.by.__name__}, which no width alone makes: give a "
                "function from a width to a network, such as a family of shoestring.models"
            )
        if not callable(self.by):
            raise TypeError(
                f"by is {self.by!r:.80}: give a function that makes a network of a width, such as "
                "a family of shoestring.models"
            )
        if " at 0x" in _named(self.by):
            raise TypeError(
                f"by is {self.by!r:.80}, whose name differs from process to process: give a "
                "function, or a frozen dataclass with __call__(width)"
            )
        if any(part in _named(self.by) for part in ("<lambda>", "<locals>")):
            raise TypeError(
                f"by is {_named(self.by)}, a name that other functions have too: give a function "
                "of a module, or a frozen dataclass with __call__(width)"
            )
        if not isinstance(self.width, int | float) or not 0 < self.width < float("inf"):
            raise ValueError(f"the width is {self.width!r}: give a number above 0, such as 0.5")

    def __repr__(self) -> str:
        values = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name != "by"]
        values.insert(1, f"by={_named(self.by)}")
        return f"Replace({', '.join(values)})"

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The trained new network."""
        try:
            new = self.by(self.width)
        except TypeError as error:
            raise TypeError(
                f"{_named(self.by):.80}({self.width:g}) made no network ({error}): give a function "
                "that takes a width alone, a float, and returns a network"
            ) from error
        if not isinstance(new, nn.Module):
            raise TypeError(
                f"{self.by!r:.80} returned {type(new).__name__} for the width {self.width:g}: it "
                "must return a module"
            )
        if isinstance(self.by, _Sighted):
            for example in examples_of(task):
                _show(self.by, example)
        new = new.to(device_of(model))
        _match_layout(new, model)
        _check_answers(new, model, task)
        _compare(new, model, task, self.width)
        student = Student(network=Given(new), targets=self.targets, training=self.training)
        return student(model, task)


@runtime_checkable
class _Sighted(Protocol):
    """A family that can tell whether inputs are those that its networks are made for."""

    def check(self, inputs: torch.Tensor) -> None:
        """Raise ValueError where they are not; no axis but 0 varies."""
        ...


def _show(family: _Sighted, example: Example) -> None:
    """Let a family look at the example's input, where that is one tensor of a fixed size."""
    first, *others = (*example.args, *example.kwargs.values())
    if others or not isinstance(first, torch.Tensor):
        return
    if not set(example.axes.get(id(first), ())) - {0}:
        family.check(first)


def _named(by: Callable[[float], nn.Module]) -> str:
    """The name of a function or class with its module, else the repr."""
    name = getattr(by, "__qualname__", None)
    return repr(by) if name is None else f"{by.__module__}.{name}"


def _match_layout(new: nn.Module, model: nn.Module) -> None:
    """Lay the new network's convolutions out in memory as the model's are."""
    last = torch.channels_last
    if any(
        one.ndim == 4 and one.shape[1] > 1 and one.is_contiguous(memory_format=last)
        for one in model.parameters()
    ):
        new.to(memory_format=last)  # pyright: ignore[reportCallIssue]


def _check_answers(new: nn.Module, model: nn.Module, task: Task) -> None:
    """Raise ValueError where the new network does not answer the task's example as the model does.

    It runs as in use, so that a batch of one example will do.
    """
    device = device_of(model)

    def moved(leaf: object) -> object:
        return leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf

    for example in examples_of(task):
        args, kwargs = tree.map(moved, (example.args, example.kwargs))
        here = type(example)(args, kwargs, {}, example.entry)
        with torch.no_grad(), seeded(0), evaluating(model), evaluating(new):
            theirs = {path: tuple(one.shape) for path, one in outputs_of(here.run(model)).items()}
            try:
                ours = {path: tuple(one.shape) for path, one in outputs_of(here.run(new)).items()}
            except Exception as error:
                raise ValueError(
                    f"the new network {type(new).__name__} cannot read what the model reads "
                    f"({type(error).__name__}: {error}): give a family for these inputs"
                ) from error
        if ours != theirs:
            raise ValueError(
                f"the new network {type(new).__name__} answers {_told(ours)}, and the model "
                f"{_told(theirs)}: give a family for these classes"
            )


def _compare(new: nn.Module, model: nn.Module, task: Task, width: float) -> None:
    """Warn (ShortfallWarning) where the new network is larger or has more operations."""
    ours, theirs = parameter_bytes(new), parameter_bytes(model)
    told = [f"{ours:,} bytes of weights for {theirs:,}"] if ours > theirs else []
    more, most = (_operations(one, task) for one in (new, model))
    if more is not None and most is not None and more > most:
        told.insert(0, f"{more:,} operations on the example for {most:,}")
    if told:
        warnings.warn(
            f"Replace made a {type(new).__name__} with {' and '.join(told)} of the model: give a "
            f"smaller width than {width:g}",
            ShortfallWarning,
            stacklevel=3,
        )


def _operations(model: nn.Module, task: Task) -> int | None:
    """The operations of the task's example, of all entries; None where some are not counted."""
    with (
        called_from_processor(model),
        seeded(0),
        evaluating(model),
        counted_as_trained() as counted,
    ):
        for example in examples_of(task):
            example.run(model)
    return counted.operations


def _told(shapes: dict[str, tuple[int, ...]]) -> str:
    """The shapes of outputs in words: "[1, 10]", or each with its name where there are several."""
    if shapes.keys() == {""}:
        return f"the shape {list(shapes[''])}"
    return ", ".join(f"{shown(path)} {list(shape)}" for path, shape in shapes.items()) or "nothing"
