"""Kinds of outputs: what an output means, and so how its distance from another is measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from shoestring.artifact.tree import paths

_FEW = 8  # with fewer values, the variance of a column says little
_LEAST_VARIANCE = 1e-4  # of a column, as a share of its mean square: a hundredth of its size
_LEAST_PROBABILITY = 1e-7


class Kind(ABC):
    """What one output of a model means; distillation measures the distance to a teacher by it.

    A task declares it in `kinds`: one Kind for all outputs, or a mapping from the path of an output
    ("logits", "1", "boxes.0") or its index to its Kind.

    All distances are without a unit, so that outputs of different scales can be added. Numbers have
    a distance of 1 where a model predicts their mean alone, directions where they are orthogonal.
    The distance of classes has no bound; of softened classes it is seldom more than a few.
    """

    @abstractmethod
    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        """The distance of two outputs: a scalar tensor, 0 where they are equal.

        `ours`, `theirs`: tensors of one shape; the gradient is for `ours`.
        `temperature`: by which logits are divided, above 0.
        """

    @abstractmethod
    def __str__(self) -> str: ...


@final
@dataclass(frozen=True)
class ClassLogits(Kind):
    """Logits, or logarithms of probabilities, of exclusive classes along an axis.

    The distance is the Kullback-Leibler divergence of the softened distributions, times
    temperature², as a mean over all other axes.
    Source: Hinton, Vinyals & Dean 2015, section 2.
    """

    axis: int = 1

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        from torch.nn import functional

        t = temperature
        p, q = (
            functional.log_softmax(theirs.float() / t, self.axis),
            functional.log_softmax(ours.float() / t, self.axis),
        )
        # classes that the teacher rules out cost nothing
        divergence = (p.exp() * (p - q)).masked_fill(p.isneginf(), 0)
        return divergence.sum(self.axis).mean() * t * t

    def __str__(self) -> str:
        return f"logits of classes along axis {self.axis}"


@final
@dataclass(frozen=True)
class Probabilities(Kind):
    """Probabilities of classes along an axis; the distance is that of their logarithms."""

    axis: int = 1

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return ClassLogits(self.axis).apart(
            ours.float().clamp_min(_LEAST_PROBABILITY).log(),
            theirs.float().clamp_min(_LEAST_PROBABILITY).log(),
            temperature,
        )

    def __str__(self) -> str:
        return f"probabilities of classes along axis {self.axis}"


@final
@dataclass(frozen=True)
class BinaryLogits(Kind):
    """Logits of yes-or-no questions, each independent of the others.

    The distance is that of ClassLogits with two classes, of which "no" has the logit 0.
    """

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        from torch.nn import functional

        t = temperature
        ours, theirs = ours.float() / t, theirs.float() / t
        yes = theirs.sigmoid() * (functional.logsigmoid(theirs) - functional.logsigmoid(ours))
        no = (-theirs).sigmoid() * (functional.logsigmoid(-theirs) - functional.logsigmoid(-ours))
        return (yes + no).masked_fill(theirs.isinf(), 0).mean() * t * t

    def __str__(self) -> str:
        return "logits of yes or no"


@final
@dataclass(frozen=True)
class BinaryProbabilities(Kind):
    """Probabilities of yes, 0 to 1, each independent of the others, as a sigmoid gives them.

    The distance is that of BinaryLogits of their logits.
    """

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        least = _LEAST_PROBABILITY
        return BinaryLogits().apart(
            ours.float().logit(least), theirs.float().logit(least), temperature
        )

    def __str__(self) -> str:
        return "probabilities of yes or no"


@final
@dataclass(frozen=True)
class Numbers(Kind):
    """Numbers in any unit.

    The distance is the squared error, as a share of the variance of the teacher's outputs in the
    batch. Each column has a variance of its own, so that the unit of a column does not matter and a
    constant offset counts. A column that varies by less than a hundredth of its size counts as
    varying by that: an error of 1 % of a constant is 1. Where a batch has fewer than 8 values of a
    column, the mean square takes the place of the variance.

    `axis`: the axis of the columns. None: axis 1, or the last of three axes (N×T×C; write
        Numbers(axis=1) for N×C×T).
    """

    axis: int | None = None

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        ours, theirs = ours.float(), theirs.float()
        known = theirs.isfinite()
        error = (ours - theirs.masked_fill(~known, 0)).masked_fill(~known, 0)
        return (error.square() / _variance(theirs.masked_fill(~known, 0), self.axis)).mean()

    def __str__(self) -> str:
        return "numbers" if self.axis is None else f"numbers in columns along axis {self.axis}"


def _variance(values: Any, axis: int | None) -> Any:
    """The variance of each column of an output, in a shape that broadcasts to it; never 0."""
    column = axis if axis is not None else -1 if values.ndim == 3 else 1
    axes = [axis for axis in range(values.ndim) if values.ndim < 2 or axis != column % values.ndim]
    square = values.square().mean(axes, keepdim=True) if axes else values.square()
    count = values.numel() // max(square.numel(), 1)
    variance = (
        square
        if count < _FEW
        else values.var(axes, correction=0, keepdim=True).maximum(_LEAST_VARIANCE * square)
    )
    mean = variance.mean()
    return variance.where(variance > 0, mean if mean > 0 else 1.0)


@final
@dataclass(frozen=True)
class Boxes(Kind):
    """Boxes as four numbers along the last axis: left, top, right, bottom.

    The distance is that of Numbers; Agreement measures their overlap.
    """

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return Numbers(axis=-1).apart(ours, theirs, temperature)

    def __str__(self) -> str:
        return "boxes"


@final
@dataclass(frozen=True)
class Directions(Kind):
    """Vectors along an axis whose direction alone matters, such as embeddings.

    The distance is 1 minus the cosine of the angle between them.
    """

    axis: int = -1

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        from torch.nn import functional

        return (
            1 - functional.cosine_similarity(ours.float(), theirs.float(), dim=self.axis)
        ).mean()

    def __str__(self) -> str:
        return f"directions along axis {self.axis}"


@final
@dataclass(frozen=True)
class NotTaught(Kind):
    """An output that a model is not taught, such as a state or a picture for people."""

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return 0.0

    def __str__(self) -> str:
        return "nothing to teach"


@final
@dataclass(frozen=True)
class Own(Kind):
    """A distance that the user writes.

    `distance`: `distance(ours, theirs)` returns a scalar tensor. Where it is the only kind of a
        task, it gets all outputs in the structure that the model returns.
    """

    distance: Callable[[Any, Any], Any]

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return self.distance(ours, theirs)

    def __str__(self) -> str:
        return f"by {getattr(self.distance, '__name__', type(self.distance).__name__)}"


Kinds = Kind | Mapping[str | int, Kind] | None
"""What a task declares; None: the kinds are inferred."""


def are_probabilities(values: Any, axis: int) -> bool:
    """Whether a tensor or an array has no number below 0 and sums to 1 along an axis everywhere."""
    return bool((values >= 0).all() and (abs(values.sum(axis) - 1) < 1e-3).all())


def outputs_of(output: Any) -> dict[str, Any]:
    """The tensors and arrays of a nested output by their paths, in order.

    Paths are such as "1" or "boxes.0"; that of an output without structure is "".
    """
    return {
        path: leaf
        for path, leaf in paths(output)
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    }


def shown(path: str) -> str:
    """The name that files give to the output at a path."""
    return path if path.isidentifier() or "." in path else f"output_{path}".rstrip("_")


def by_path(declared: Mapping[str | int, Any], paths: list[str], what: str) -> dict[str, Any]:
    """Declarations that are keyed by path or by index, all keyed by path.

    `paths`: those of the outputs that there are.
    `what`: names the declarations in an error.

    Raises ValueError for an output that does not exist.
    """
    values: dict[str, Any] = {}
    for key, value in declared.items():
        if isinstance(key, int):
            path = paths[key] if -len(paths) <= key < len(paths) else None
        else:
            path = next((known for known in paths if key in (known, shown(known))), None)
        if path is None:
            raise ValueError(
                f"{what} names the output {key!r}, and the model gives "
                f"{', '.join(map(shown, paths))}"
            )
        values[path] = value
    return values
