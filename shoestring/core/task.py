"""Task: what a model must do, and how well it does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from operator import index as as_integer
from typing import Any, Protocol, cast, runtime_checkable
from zlib import crc32

from shoestring.artifact.format.axes import Axis
from shoestring.core.entries import Call
from shoestring.core.kinds import Kinds

Predict = Callable[..., Any]


class SealedError(RuntimeError):
    """A technique, a planner or a meter asked for the test split, which only `prove` may read."""


class LabelBudgetError(RuntimeError):
    """More labels were asked for than the oracle may sell."""


@dataclass(frozen=True)
class Vary:
    """An example's tensor with the axes along which it may vary, each with a name: `Vary(x, {0.

    "N", 1: "T"})`.
    Axes with the same name have the same length. A tensor that is not wrapped varies along axis 0,
    named "N"; `Vary(x, {})` is fixed. An axis with bounds is an `Axis`: `Vary(x, {1: Axis("T",
    most=512)})`.
    """

    tensor: Any
    axes: Mapping[int, str | Axis] = field(default_factory=dict)


@dataclass
class Oracle:
    """Sells labels and counts them. Asking twice for the same label costs one.

    `answer(indices)` gives the labels, and must give the same ones again; `limit` is the most that
    it sells, None for no limit. What it sells is what the task's "train" split then yields: a
    technique that buys changes the task, not a copy.
    """

    answer: Callable[[Sequence[int]], Any]
    limit: int | None = None
    sold: set[int] = field(default_factory=set)

    def buy(self, indices: Sequence[int]) -> Any:
        """The labels of `indices`, in that order.

        Raises LabelBudgetError, selling nothing, past the limit.
        """
        places = [_place(i) for i in indices]
        wanted = self.sold | set(places)
        if self.limit is not None and len(wanted) > self.limit:
            raise LabelBudgetError(
                f"{len(wanted)} labels in all were asked for and {self.limit} may be sold: ask "
                "for fewer"
            )
        answers = self.answer(places)
        self.sold = wanted  # after the answer: what was not delivered is not paid for
        return answers


def _place(index: Any) -> int:
    """A whole number, 0 or more: a mask or a negative place would be counted wrongly."""
    try:
        place = (
            -1
            if isinstance(index, bool) or str(getattr(index, "dtype", "")).endswith("bool")
            else as_integer(index)
        )
    except TypeError:  # a fraction, a word
        place = -1
    if place < 0:
        raise ValueError(
            f"labels are bought by their places, whole numbers from 0 up: {index!r} is none (a "
            "mask?)"
        )
    return place


class _NoName:
    """The name of a task that has none.

    Unlike a plain "", it is no default of a field `name` in a dataclass that derives from Task.
    """

    def __get__(self, task: Any, owner: type | None = None) -> str:
        if task is None:
            raise AttributeError("name")
        return ""


@runtime_checkable
class Task(Protocol):
    """What the model must do.

    Write a class with the first four methods, deriving from Task to get the rest.
    A task need not have inputs and targets: `batches` yields whatever `loss` understands.
    Randomness (the order of the training batches, the moves of an opponent) is drawn from the
    global generators of torch, numpy or Python, so that a seed fixes it. A task that sells labels
    has an attribute `oracle` (an Oracle). `name` tells tasks apart in records; "" where there is
    none.
    `kinds`: what the outputs of the model mean, see `core.kinds`; None leaves it to be found out.
    """

    name: str = cast(str, _NoName())
    kinds: Kinds = None

    def batches(self, split: str) -> Iterable[Any]:
        """One pass over "train", "validation" or "test", as batches for `loss`.

        That over "train" may be endless.
        """
        ...

    def loss(self, model: Any, batch: Any) -> Any:
        """What training minimises: a scalar tensor; `model` is called as a module is."""
        ...

    def score(self, predict: Predict, split: str) -> float:
        """How well `predict` does on a split; higher is better.

        `predict` is a module or a loaded file, and is called as the module is, with tensors; it
        returns the module's structure with tensors or numpy arrays in it (`array` makes both the
        same). Where `example` names entries, each is called by its name: `predict.encode(x)`.
        """
        ...

    def example(self) -> Call | Mapping[str, Call]:
        """(args, kwargs) of one call, of any batch size; tensors may be wrapped in `Vary`.

        A model that is called in several ways: such a pair for each of its entries, by name,
        {"encode": (args, kwargs), "step": (args, kwargs)}. An entry is a method of the module, or a
        part of it (two models are an `nn.ModuleDict`).
        """
        ...

    def merits(self, predict: Predict, split: str) -> Any:
        """An array with a number per example, of which the score is the mean.

        None where the score is no such mean.
        """
        return None

    def standard_error(self, predict: Predict, split: str) -> float | None:
        """Of the score: the standard deviation of the merits over the square root of their number;
        None without merits.
        """
        merits = self.merits(predict, split)
        return None if merits is None else float(array(merits).std() / len(merits) ** 0.5)

    def teaching(self) -> str:
        """What a model is taught of its teacher's answers, in words: which output as what kind.

        "" where nothing was taught yet.
        """
        return ""

    def sampled(self, examples: int, seed: int) -> Task:
        """The same task with at most so many validation examples, drawn by the seed.

        Itself where it has no examples to draw.
        """
        return self

    def sealed(self) -> Task:
        """The same task with a test split that raises SealedError."""
        from shoestring.core.view import Sealed

        return Sealed(self)

    def taught_by(self, teacher: Any) -> Task:
        """The same task with a loss that also asks for the teacher's answers."""
        from shoestring.core.view import Taught

        return Taught(self, teacher)


@contextmanager
def _modes_kept(module: Any) -> Iterator[None]:
    """After, each part of a module is in the mode that it was in before (frozen ones, say)."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """A module in evaluation mode within.

    After, each of its parts in the mode that it was in (frozen ones, say).
    """
    with _modes_kept(module):
        module.eval()
        yield


@contextmanager
def as_in_training(module: Any) -> Iterator[None]:
    """Within, a module's own parts are in training mode, so that forward() takes that way.

    Norms, dropouts and recurrent networks (those of torch and what derives from them) in
    evaluation, so that nothing is drawn and no statistic moves.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.dropout import _DropoutNd

    with _modes_kept(module):
        for part in module.modules():
            still = isinstance(part, _NormBase | _DropoutNd | nn.RNNBase | nn.MultiheadAttention)
            part.training = not still and not type(part).__module__.startswith("torch.")
        yield


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


def check_task(task: Any) -> None:
    """Raises TypeError for what is no task, and says what it lacks."""
    if isinstance(task, Task):
        return
    kind = type(task).__name__
    lacks = [
        name
        for name in ("batches", "loss", "score", "example")
        if not callable(getattr(task, name, None))
    ]
    why = (
        f"has no {', '.join(lacks)}"
        if lacks
        else "does not derive from shoestring.Task, which gives a task the rest"
    )
    raise TypeError(
        f"a task is needed, and {kind} {why}: write `class {kind}(shoestring.Task)` with the four "
        "methods of a task"
    )


def score(task: Task, predict: Any, split: str = "validation") -> float:
    """`task.score`, with a module put into evaluation mode and gradients off, and both put back
    after.

    Each split has random numbers of its own, the same for every model, and the caller's are left
    alone.
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
