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

from shoestring.artifact.chains.input_chain import InputChain
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
    """A tensor of an example, and the axes whose length may vary.

    A tensor that is not wrapped varies along axis 0, which is named "N".

        Vary(x, {0: "N", 1: "T"})           # two axes vary
        Vary(x, {1: Axis("T", most=512)})   # one axis varies, within bounds
        Vary(x, {})                         # the shape is fixed

    `tensor`: the tensor.
    `axes`: from an axis, 0 or more, to its name. Axes of one name have one length.
    """

    tensor: Any
    axes: Mapping[int, str | Axis] = field(default_factory=dict)


class _NoName:
    """The default of `Task.name`, which is "".

    A plain "" would become the default of a field `name` in a dataclass that derives from Task.
    """

    def __get__(self, task: Any, owner: type | None = None) -> str:
        if task is None:
            raise AttributeError("name")
        return ""


@runtime_checkable
class Task(Protocol):
    """What the model must do: batches, a loss, a score and an example of the inputs.

    Derive from Task and write the first four methods. The rest have defaults.

        class Tagging(shoestring.Task):
            name = "tagging"

            def batches(self, split):
                yield from loaders[split]        # "train", "validation" or "test"

            def loss(self, model, batch):
                words, tags = batch
                return cross_entropy(model(words), tags)

            def score(self, predict, split):     # higher is better
                hits = [(array(predict(w)).argmax(1) == array(t)).mean() for w, t in loaders[split]]
                return float(np.mean(hits))

            def example(self):
                return (Vary(words, {0: "N", 1: "T"}),), {}

    A game has no inputs and targets: `batches` yields whatever `loss` understands. For self-play,
    `batches(self, split, *, model=None)` gets the module that is being trained, and `score` is the
    share of games that `predict` wins.

    Two models are one `nn.ModuleDict`. `loss`, `score` and `example` name its parts:

            def loss(self, model, batch):
                return distance(model.left(batch.english), model.right(batch.german))

            def score(self, predict, split): ...           # calls predict.left and predict.right

            def example(self):                             # each entry is a graph in the file
                return {"left": ((english,), {}), "right": ((german,), {})}

    Labels that cost something: derive from `core.LabelTask`, which adds the pool of unlabelled
    examples and `buy`, or give `kit.Supervised` its `unlabelled` inputs and `answer`.

    Draw random numbers (the order of batches, the moves of an opponent) from the global generators
    of torch, numpy or Python, so that a seed fixes them.

    `name`: tells tasks apart in records; "" for none.
    `kinds`: what the outputs of the model mean, for distillation (`core.kinds`). None: inferred
        from the loss and the values.
    `has_test`: whether there is a "test" split, which only `prove` reads.
    `input_chain`: how raw sounds, texts or numbers become the model's input, which files then
        have; None where inputs are the raw ones.
    """

    name: str = cast(str, _NoName())
    kinds: Kinds = None
    has_test: bool = True
    input_chain: InputChain | None = None

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        """One pass over a split, as batches for `loss`.

        `split`: "train", "validation" or "test". The pass over "train" may be endless.
        `model`: the module that is being trained, with its weights and mode of the moment at which
            a batch is asked for; None where nothing is trained. It is for batches that depend on
            the model: self-play, hard negatives, a replay. A task that does not need it may leave
            the parameter out.
        """
        ...

    def loss(self, model: Any, batch: Any) -> Any:
        """The loss that training minimises: a scalar tensor.

        `model`: a module, called as modules are.
        `batch`: one item of `batches`.
        """
        ...

    def score(self, predict: Predict, split: str) -> float:
        """How well `predict` does on a split; higher is better.

        `predict`: a module or a loaded file. Both take tensors, as the module does. Both return the
            module's structure, with tensors or with numpy arrays in it: `array` makes either an
            array. Where `example` names entries, each is called by its name: `predict.encode(x)`.
        """
        ...

    def example(self) -> Call | Mapping[str, Call]:
        """(args, kwargs) of one call of the model.

        The batch may have any size. Wrap a tensor in `Vary` where more axes than axis 0 vary.

        For a model with several entries, return such a pair for each by name: {"encode": (args,
        kwargs), "step": (args, kwargs)}. An entry is a method of the module or a part of it.
        """
        ...

    def scores(self, predict: Predict, split: str) -> Mapping[str, float]:
        """More scores, by name, such as {"recall": 0.93}; none by default.

        Higher is better. A budget can limit each of them: `drop(recall)<=0.5%`.
        `predict`, `split`: as in `score`.
        """
        return {}

    def merits(self, predict: Predict, split: str) -> Any:
        """The score of each example: an array, N, whose mean is the score.

        None where the score is not a mean over examples.
        """
        return None

    def standard_error(self, predict: Predict, split: str) -> float | None:
        """The standard error of the score; None without merits.

        It is the standard deviation of the merits, divided by the square root of their number.
        """
        merits = self.merits(predict, split)
        return None if merits is None else float(array(merits).std() / len(merits) ** 0.5)

    def teaching(self) -> str:
        """The kind as which each output of the teacher is taught, in words; "" before that."""
        return ""

    def labelled(self) -> LabelTask | None:
        """The same task as a `core.LabelTask`; None where labels cannot be bought."""
        return None

    def others(self) -> Mapping[str, Task]:
        """What else the model can do and is not to forget, by name (`adapt.Keeping`)."""
        return {}

    def sampled(self, examples: int, seed: int) -> Task:
        """The same task with a sample of its validation examples; itself where it has none.

        `examples`: how many at most, 1 or more.
        `seed`: of the draw.
        """
        return self

    def sealed(self) -> Task:
        """The same task, whose "test" split raises SealedError."""
        from shoestring.core.view import Sealed

        return Sealed(self)

    def taught_by(self, teacher: Any) -> Task:
        """The same task, whose loss adds the distance from the teacher's outputs (distillation)."""
        from shoestring.core.taught import Taught

        return Taught(self, teacher)

    def taught_at(self, weight: float, temperature: float) -> Task:
        """The same task, whose teacher counts with this weight and temperature (`core.taught`).

        Returns itself where it has no such teacher.
        """
        return self


@contextmanager
def _modes_kept(module: Any) -> Iterator[None]:
    """Restore the mode of each part of a module at the end."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Put a module into evaluation mode within the context.

    At the end each part gets back its own mode; a frozen part stays in evaluation mode.
    """
    with _modes_kept(module):
        module.eval()
        yield


@contextmanager
def as_in_training(module: Any) -> Iterator[None]:
    """Put a module into training mode within the context, without randomness or new statistics.

    Its forward() takes the branch of training. Modules of torch stay in evaluation mode, and so do
    norms, dropouts and recurrent layers that derive from torch's: nothing random is drawn and no
    running statistic changes. At the end each part gets back its own mode.
    """
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.dropout import _DropoutNd

    with _modes_kept(module):
        for part in module.modules():
            evaluates = isinstance(
                part, _NormBase | _DropoutNd | nn.RNNBase | nn.MultiheadAttention
            )
            part.training = not evaluates and not type(part).__module__.startswith("torch.")
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python within, and restore them at the end."""
    import random

    import numpy

    python_state, numpy_state = random.getstate(), numpy.random.get_state()
    forked: Any = nullcontext()
    if (torch := sys.modules.get("torch")) is not None:  # running a file needs no torch
        forked = torch.random.fork_rng(devices=range(torch.cuda.device_count()))
    try:
        with forked:
            if torch is not None:
                torch.manual_seed(seed)
            numpy.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        random.setstate(python_state)
        numpy.random.set_state(numpy_state)


def check_task(task: Any) -> None:
    """Raise TypeError for an object that is not a task; the message says what it lacks."""
    if isinstance(task, Task):
        wants_model(task)
        return
    kind = type(task).__name__
    missing = [
        name
        for name in ("batches", "loss", "score", "example")
        if not callable(getattr(task, name, None))
    ]
    why = (
        f"has no {', '.join(missing)}"
        if missing
        else "does not derive from shoestring.Task, which gives a task the rest"
    )
    raise TypeError(
        f"a task is needed, and {kind} {why}: write `class {kind}(shoestring.Task)` with the four "
        "methods of a task"
    )


def wants_model(task: Task) -> bool:
    """Whether the task's `batches` takes `model`, the module that is being trained.

    The signature is read once for each class.
    Raises TypeError where `batches` cannot be called with a split.
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
    """One pass of `task.batches`, each batch on the model's device.

    `model`: handed on to a task that takes it (`wants_model`). Without one, batches stay where the
        task put them.

    Raises ValueError for a model whose parameters are on several devices.
    """
    own = asked(task, split, model)
    if model is None:
        return own
    from shoestring.core.device import device_of, on_device

    device = device_of(model)
    return (on_device(batch, device) for batch in own)


def asked(task: Task, split: str, model: Any) -> Iterable[Any]:
    """Call `task.batches`, with the model where the task takes it; no batch is moved."""
    return task.batches(split, model=model) if wants_model(task) else task.batches(split)


@contextmanager
def _judging(predict: Any, split: str) -> Iterator[None]:
    """Make `predict` ready to be scored: evaluation mode, no gradients, inputs on the processor.

    The global generators are seeded by the name of the split.
    """
    evaluation: Any = nullcontext()
    no_gradients: Any = nullcontext()
    from_processor: Any = nullcontext()
    if hasattr(predict, "eval") and hasattr(predict, "modules"):
        import torch

        from shoestring.core.device import called_from_processor

        evaluation, no_gradients = evaluating(predict), torch.no_grad()
        from_processor = called_from_processor(predict)
    with seeded(crc32(split.encode())), evaluation, no_gradients, from_processor:
        yield


def score(task: Task, predict: Any, split: str = "validation") -> float:
    """`task.score`, of a module in evaluation mode and without gradients.

    The mode is restored. Each split has its own seed, the same for every model; the caller's random
    numbers are not used. A module on another device takes tensors of the processor, and its outputs
    are moved to the processor.
    """
    with _judging(predict, split):
        return float(task.score(predict, split))


def scores(task: Task, predict: Any, split: str = "validation") -> dict[str, float]:
    """`task.scores`, under the conditions of `score`; empty where the task has none."""
    with _judging(predict, split):
        return {name: float(value) for name, value in task.scores(predict, split).items()}


def array(output: Any) -> Any:
    """A tensor, or anything that numpy takes, as a numpy array; of bfloat16 in single precision."""
    import numpy

    if str(getattr(output, "dtype", "")) == "torch.bfloat16":
        output = output.float()  # numpy has no bfloat16; single precision has all its numbers
    return output.detach().cpu().numpy() if hasattr(output, "detach") else numpy.asarray(output)
