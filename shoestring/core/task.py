"""Task: what a model must do, and how well it does it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import ismethod
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable
from zlib import crc32

from shoestring.artifact.format.axes import Axis
from shoestring.core.entries import Call
from shoestring.core.kinds import Kinds

if TYPE_CHECKING:
    from shoestring.core.labels import LabelTask

Predict = Callable[..., Any]


class SealedError(RuntimeError):
    """A technique, a planner or a meter asked for the test split, which only `prove` may read."""


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
    global generators of torch, numpy or Python, so that a seed fixes it. `name` tells tasks apart
    in records; "" where there is none.
    `kinds`: what the outputs of the model mean, see `core.kinds`; None leaves it to be found out.
    `has_test`: whether there is a test split, which `prove` reads.
    """

    name: str = cast(str, _NoName())
    kinds: Kinds = None
    has_test: bool = True

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        """One pass over "train", "validation" or "test", as batches for `loss`.

        That over "train" may be endless.
        `model`: the module that is being trained, as it stands when a batch is asked for, in the
        mode that it has then; None where nothing is trained. For batches that depend on it:
        self-play, hard negatives, a replay. A task that has no use for it may leave the parameter
        out.
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

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        """Further scores by name, higher is better each, such as {"recall": 0.93}; none by default.

        `predict` and `split` are those of `score`. A budget may limit each: `drop(recall)<=0.5%`.
        """
        return {}

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

    def labelled(self) -> LabelTask | None:
        """The same task, where its labels can be bought and changed (`core.LabelTask`).

        None where they cannot.
        """
        return None

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
        wants_model(task)
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


def wants_model(task: Task) -> bool:
    """Whether the task's `batches` takes `model`, the module that is being trained.

    Found out once for each class.
    Raises TypeError for a `batches` that cannot be called with a split.
    """
    method = task.batches
    if ismethod(method):
        return _wants_model(method.__func__, True)
    return _wants_model(method, False)


@lru_cache(maxsize=256)
def _wants_model(function: Callable[..., Any], bound: bool) -> bool:
    signature = inspect.signature(function)
    first: tuple[Any, ...] = (None,) if bound else ()
    try:
        signature.bind(*first, "train")
    except TypeError as error:
        raise TypeError(
            f"the task's batches() cannot be called with a split ({error}): write `def "
            "batches(self, split, *, model=None)`"
        ) from None
    try:
        signature.bind(*first, "train", model=None)
    except TypeError:
        return False
    return True


def batches(task: Task, split: str, model: Any = None) -> Iterable[Any]:
    """One pass of `task.batches` for a model: each batch on the model's device.

    The model is given to a task that takes it (`wants_model`). Without a model, batches are as the
    task gives them. Raises ValueError for a model that is on several devices.
    """
    given = asked(task, split, model)
    if model is None:
        return given
    from shoestring.core.device import device_of, on_device

    home = device_of(model)
    return (on_device(batch, home) for batch in given)


def asked(task: Task, split: str, model: Any) -> Iterable[Any]:
    """`task.batches`, with the model where the task takes it; batches are where the task has them."""
    return task.batches(split, model=model) if wants_model(task) else task.batches(split)


@contextmanager
def _judging(predict: Any, split: str) -> Iterator[None]:
    """A module in evaluation mode, without gradients and callable with tensors of the processor,
    and the split's random numbers.
    """
    judging: Any = nullcontext()
    quiet: Any = nullcontext()
    home: Any = nullcontext()
    if hasattr(predict, "eval") and hasattr(predict, "modules"):
        import torch

        from shoestring.core.device import called_from_processor

        judging, quiet, home = evaluating(predict), torch.no_grad(), called_from_processor(predict)
    with seeded(crc32(split.encode())), judging, quiet, home:
        yield


def score(task: Task, predict: Any, split: str = "validation") -> float:
    """`task.score`, with a module put into evaluation mode and gradients off, and both put back
    after.

    Each split has random numbers of its own, the same for every model, and the caller's are left
    alone. A module on another device is called with tensors of the processor, and its answers are
    put there.
    """
    with _judging(predict, split):
        return float(task.score(predict, split))


def scores(task: Task, predict: Any, split: str = "validation") -> dict[str, float]:
    """`task.scores`, as `score` has `task.score`: by name; empty where the task has none."""
    with _judging(predict, split):
        return {name: float(value) for name, value in task.scores(predict, split).items()}


def array(output: Any) -> Any:
    """A tensor, or whatever numpy takes, as a numpy array."""
    import numpy

    return output.detach().cpu().numpy() if hasattr(output, "detach") else numpy.asarray(output)
