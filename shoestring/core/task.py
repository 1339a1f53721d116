"""Task: what a model must do, and how well it does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from inspect import ismethod
from operator import index as as_whole
from typing import Any, Protocol, final, runtime_checkable
from zlib import crc32

Predict = Callable[..., Any]


class SealedError(RuntimeError):
    """A technique, a planner or a meter asked for the test split, which only `prove` may read."""


class LabelBudgetError(RuntimeError):
    """More labels were asked for than the oracle may sell."""


@dataclass(frozen=True)
class Vary:
    """An example's tensor with the axes along which it may vary, each with a name: `Vary(x, {0: "N", 1: "T"})`.

    Axes with the same name have the same length. A tensor that is not wrapped varies along axis 0, named "N";
    `Vary(x, {})` is fixed.
    """

    tensor: Any
    axes: Mapping[int, str] = field(default_factory=dict)


@dataclass
class Oracle:
    """Sells labels and counts them. Asking twice for the same label costs one.

    `answer(indices)` gives the labels, and must give the same ones again; `limit` is the most that it sells, None for no
    limit. What it sells is what the task's "train" split then yields: a technique that buys changes the task, not a copy.
    """

    answer: Callable[[Sequence[int]], Any]
    limit: int | None = None
    sold: set[int] = field(default_factory=set)

    def buy(self, indices: Sequence[int]) -> Any:
        """The labels of `indices`, in that order; raises LabelBudgetError, selling nothing, past the limit."""
        places = [_place(i) for i in indices]
        wanted = self.sold | set(places)
        if self.limit is not None and len(wanted) > self.limit:
            raise LabelBudgetError(f"{len(wanted)} labels in all were asked for and {self.limit} may be sold: ask for fewer")
        answers = self.answer(places)
        self.sold = wanted  # after the answer: what was not delivered is not paid for
        return answers


def _place(index: Any) -> int:
    """A whole number, 0 or more: a mask or a negative place would be counted wrongly."""
    try:
        place = -1 if isinstance(index, bool) or str(getattr(index, "dtype", "")).endswith("bool") else as_whole(index)
    except TypeError:  # a fraction, a word
        place = -1
    if place < 0:
        raise ValueError(f"labels are bought by their places, whole numbers from 0 up: {index!r} is none (a mask?)")
    return place


@runtime_checkable
class Task(Protocol):
    """What the model must do. Write a class with the four methods below, deriving from Task to get the other two.

    A task need not have inputs and targets: `batches` yields whatever `loss` understands. Randomness (the order of the
    training batches, the moves of an opponent) is drawn from the global generators of torch, numpy or Python, so that a
    seed fixes it. A task that sells labels has an attribute `oracle` (an Oracle).
    """

    def batches(self, split: str) -> Iterable[Any]:
        """One pass over "train", "validation" or "test", as batches for `loss`; that over "train" may be endless."""
        ...

    def loss(self, model: Any, batch: Any) -> Any:
        """What training minimises: a scalar tensor; `model` is called as a module is."""
        ...

    def score(self, predict: Predict, split: str) -> float:
        """How well `predict` does on a split; higher is better.

        `predict` is a module or a loaded file, and is called as the module is, with tensors; it returns the module's
        structure with tensors or numpy arrays in it (`array` makes both the same).
        """
        ...

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) of one call, of any batch size; tensors may be wrapped in `Vary`."""
        ...

    def sealed(self) -> Task:
        """The same task with a test split that raises SealedError."""
        return Sealed(self)

    def taught_by(self, teacher: Any) -> Task:
        """The same task with a loss that also asks for the teacher's answers."""
        return Taught(self, teacher)


@final
@dataclass(frozen=True, eq=False)
class Sealed(Task):
    """A task whose test split raises. What else the task has (an oracle, say) is reached through it.

    An attribute with the word "test" in its name is taken for the test split; tasks within the task are sealed too.
    """

    _task: Task

    def _open(self, split: str) -> str:
        if split == "test":
            raise SealedError("the test split is sealed: choose on 'validation', and let prove() read 'test' once, at the end")
        return split

    def batches(self, split: str) -> Iterable[Any]:
        return self._task.batches(self._open(split))

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)

    def score(self, predict: Predict, split: str) -> float:
        return self._task.score(predict, self._open(split))

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self._task.example()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_task":  # a copy half made has none yet
            raise AttributeError(name)
        if "test" in name.split("_"):
            self._open("test")
        value = getattr(self._task, name)
        if not ismethod(value):
            return Sealed(value) if isinstance(value, Task) else value

        def sealed(*args: Any, **kwargs: Any) -> Any:
            for argument in (*args, *kwargs.values()):
                if isinstance(argument, str):
                    self._open(argument)
            answer = value(*args, **kwargs)
            return Sealed(answer) if isinstance(answer, Task) else answer

        return sealed


@final
@dataclass(frozen=True, eq=False)
class Taught(Task):
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

    def batches(self, split: str) -> Iterable[Any]:
        return self.task.batches(split)

    def score(self, predict: Predict, split: str) -> float:
        return self.task.score(predict, split)

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.task.example()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "task":
            raise AttributeError(name)
        return getattr(self.task, name)

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


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """A module in evaluation mode within; after, each of its parts in the mode that it was in (frozen ones, say)."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python seeded within, and as they were after."""
    import random

    import numpy

    plain, arrays = random.getstate(), numpy.random.get_state()
    forked: Any = nullcontext()
    if (torch := sys.modules.get("torch")) is not None:  # who runs a file may have none
        forked = torch.random.fork_rng(devices=range(torch.cuda.device_count()))
    try:
        with forked:
            if torch is not None:
                torch.manual_seed(seed)
            numpy.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        random.setstate(plain)
        numpy.random.set_state(arrays)


def score(task: Task, predict: Any, split: str = "validation") -> float:
    """`task.score`, with a module put into evaluation mode and gradients off, and both put back after.

    Each split has random numbers of its own, the same for every model, and the caller's are left alone.
    """
    judging: Any = nullcontext()
    quiet: Any = nullcontext()
    if hasattr(predict, "eval") and hasattr(predict, "modules"):
        import torch

        judging, quiet = evaluating(predict), torch.no_grad()
    with seeded(crc32(split.encode())), judging, quiet:
        return float(task.score(predict, split))


def array(output: Any) -> Any:
    """A tensor, or whatever numpy takes, as a numpy array."""
    import numpy

    return output.detach().cpu().numpy() if hasattr(output, "detach") else numpy.asarray(output)
