"""Kinds of outputs: what an output means, and so how far two answers are apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

from shoestring.artifact.tree import paths

_FEW = 8  # values of a column, below which its variance says little
# of the mean square of a column, the least that its variance is taken for: a hundredth of its size
_TINY = 1e-4
_LEAST = 1e-7  # the least that a probability is taken for


class Kind(ABC):
    """What one output of a model means.

    A task declares it in `kinds`: one Kind for all outputs, or a mapping from an output's path
    ("logits", "1", "boxes.0") or its place among the outputs to its Kind. Distillation measures how
    far a model is from its teacher by it. All distances are without a unit, so that the scale of no
    output drowns the others: numbers are 1 apart where a model knows their mean alone, directions
    where they are at right angles; classes have no such bound, but softened they are seldom more
    than a few apart.
    """

    @abstractmethod
    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        """A scalar tensor with a gradient for `ours`.

        0 where both answers, tensors of one shape, are the same.
        """

    @abstractmethod
    def __str__(self) -> str: ...


@final
@dataclass(frozen=True)
class ClassLogits(Kind):
    """Logits, or logarithms of probabilities, of classes of which one is true, along an axis.

    The Kullback-Leibler divergence of the softened distributions, times temperature², the mean over
    all other axes.
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
        apart = (p.exp() * (p - q)).masked_fill(
            p.isneginf(), 0
        )  # what the teacher rules out costs nothing
        return apart.sum(self.axis).mean() * t * t

    def __str__(self) -> str:
        return f"logits of classes along axis {self.axis}"


@final
@dataclass(frozen=True)
class Probabilities(Kind):
    """Probabilities of classes along an axis, which sum to 1: as ClassLogits of their logarithms."""

    axis: int = 1

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return ClassLogits(self.axis).apart(
            ours.float().clamp_min(_LEAST).log(),
            theirs.float().clamp_min(_LEAST).log(),
            temperature,
        )

    def __str__(self) -> str:
        return f"probabilities of classes along axis {self.axis}"


@final
@dataclass(frozen=True)
class BinaryLogits(Kind):
    """Logits of questions that are answered by yes or no, each on its own.

    As ClassLogits of two classes, of which "no" has the logit 0.
    """

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        from torch.nn import functional

        t = temperature
        ours, theirs = ours.float() / t, theirs.float() / t
        apart = theirs.sigmoid() * (functional.logsigmoid(theirs) - functional.logsigmoid(ours))
        apart = apart + (-theirs).sigmoid() * (
            functional.logsigmoid(-theirs) - functional.logsigmoid(-ours)
        )
        return apart.masked_fill(theirs.isinf(), 0).mean() * t * t

    def __str__(self) -> str:
        return "logits of yes or no"


@final
@dataclass(frozen=True)
class BinaryProbabilities(Kind):
    """Probabilities from 0 to 1 of yes, each on its own, as a sigmoid gives them.

    As BinaryLogits of their logits.
    """

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return BinaryLogits().apart(
            ours.float().logit(_LEAST), theirs.float().logit(_LEAST), temperature
        )

    def __str__(self) -> str:
        return "probabilities of yes or no"


@final
@dataclass(frozen=True)
class Numbers(Kind):
    """Numbers in whatever unit.

    The squared error, as a share of the variance of the teacher's own answers in the batch.
    Each column has a variance of its own, so that a constant offset costs, and the unit of a column
    does not matter.
    `axis`: where the columns are; None: axis 1, the last one where there are three (N×T×C; say
        Numbers(axis=1) of N×C×T). A column that varies by less than a hundredth of its size is
        taken to vary by that: an error of 1 % of a constant is 1. Where a batch has fewer than 8
        values of a column, its mean square stands for the variance.
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
    """Of each column of an output, in a shape that fits it; never 0."""
    column = axis if axis is not None else -1 if values.ndim == 3 else 1
    axes = [axis for axis in range(values.ndim) if values.ndim < 2 or axis != column % values.ndim]
    square = values.square().mean(axes, keepdim=True) if axes else values.square()
    count = values.numel() // max(square.numel(), 1)
    variance = (
        square
        if count < _FEW
        else values.var(axes, correction=0, keepdim=True).maximum(_TINY * square)
    )
    whole = variance.mean()
    return variance.where(variance > 0, whole if whole > 0 else 1.0)


@final
@dataclass(frozen=True)
class Boxes(Kind):
    """Boxes as four numbers along the last axis: left, top, right, bottom.

    Apart as Numbers are; Agreement looks at their overlap.
    """

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return Numbers(axis=-1).apart(ours, theirs, temperature)

    def __str__(self) -> str:
        return "boxes"


@final
@dataclass(frozen=True)
class Directions(Kind):
    """Vectors along an axis of which only the direction matters (embeddings).

    1 minus the cosine of the angle between both.
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
    """Nothing that a model is taught: a state, something for the eye."""

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return 0.0

    def __str__(self) -> str:
        return "nothing to teach"


@final
@dataclass(frozen=True)
class Own(Kind):
    """A distance of one's own: `distance(ours, theirs)` gives a scalar tensor.

    As the only kind of a task it gets all outputs as the model gives them.
    """

    distance: Callable[[Any, Any], Any]

    def apart(self, ours: Any, theirs: Any, temperature: float) -> Any:
        return self.distance(ours, theirs)

    def __str__(self) -> str:
        return f"by {getattr(self.distance, '__name__', type(self.distance).__name__)}"


Kinds = Kind | Mapping[str | int, Kind] | None
"""What a task declares; None for nothing."""


def are_probabilities(values: Any, axis: int) -> bool:
    """Whether the numbers of a tensor or an array are none below 0 and add up to 1 along an axis,
    of each place.
    """
    return bool((values >= 0).all() and (abs(values.sum(axis) - 1) < 1e-3).all())


def outputs_of(output: Any) -> dict[str, Any]:
    """The tensors and arrays of a nested output by their paths, in order.

    "" for the only one, "1", "boxes.0".
    """
    return {
        path: leaf
        for path, leaf in paths(output)
        if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    }


def shown(path: str) -> str:
    """The path of an output as files name it."""
    return path if path.isidentifier() or "." in path else f"output_{path}".rstrip("_")


def by_path(declared: Mapping[str | int, Any], paths: list[str], what: str) -> dict[str, Any]:
    """What is declared of outputs by path or place, all by path.

    Raises ValueError for an output that there is not.
    """
    found: dict[str, Any] = {}
    for key, value in declared.items():
        if isinstance(key, int):
            path = paths[key] if -len(paths) <= key < len(paths) else None
        else:
            path = next((one for one in paths if key in (one, shown(one))), None)
        if path is None:
            raise ValueError(
                f"{what} names the output {key!r}, and the model gives "
                f"{', '.join(map(shown, paths))}"
            )
        found[path] = value
    return found
