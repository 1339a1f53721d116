"""A Task made of inputs and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.artifact import tree
from shoestring.core import Axis, LabelTask, Predict, Vary, array, evaluating
from shoestring.core.kinds import Kinds, are_probabilities
from shoestring.kit.training.collected import collected
from shoestring.kit.training.criterion import loss_of, losses_of
from shoestring.kit.training.pool import Answer, Pool

Split = tuple[Tensor | tuple[Tensor, ...], Tensor]
"""(inputs, targets); several inputs in a tuple. Axis 0 of each is the example."""
_RESAMPLES = 50


def accuracy(outputs: Any, targets: np.ndarray) -> np.ndarray:
    """Of each target 1 where the largest of its outputs (the last axis.

    Of a mapping, its `logits`) is its own, else 0.
    Outputs ...×C of C classes, two or more, and whole-number targets of the shape of the rest.
    Raises TypeError for other outputs than an array, ValueError for shapes and targets that it does
    not fit; both say what to give instead.
    """
    if isinstance(outputs, Mapping) and "logits" in outputs:
        outputs = outputs["logits"]
    if not isinstance(outputs, np.ndarray):
        raise TypeError(
            f"accuracy compares an array, and the model returns {type(outputs).__name__}: give "
            "Supervised a merit="
        )
    if advice := _misfit(outputs, targets):
        told = f"outputs {list(outputs.shape)} and {targets.dtype} targets {list(targets.shape)}"
        raise ValueError(
            f"accuracy, the default score, does not fit {told}: give Supervised {advice}"
        )
    right = outputs.argmax(-1) == targets
    return (right & ~np.isnan(outputs).any(-1)).astype(np.float64)  # NaN is no answer


def _misfit(outputs: np.ndarray, targets: np.ndarray) -> str:
    """What to give instead where classes are not compared with numbers of classes.

    "" where they are.
    """
    several = outputs.ndim > 1 and outputs.shape[-1] > 1
    axes = tuple(range(1, targets.ndim))
    mean = f".mean({axes})" if axes else ""
    if (
        targets.dtype.kind == "f"
        and outputs.shape == targets.shape
        and several
        and are_probabilities(targets, -1)
    ):
        return (
            "merit=lambda out, y: out.argmax(-1) == y.argmax(-1), for labels that are "
            "shares of classes"
        )
    if (targets.dtype.kind in "fb" or outputs.size == targets.size) and not set(
        np.unique(targets)
    ) - {0, 1}:
        return (
            f"merit=lambda out, y: ((out > 0).reshape(y.shape) == y){mean}, for yes or no "
            "(0.5 in place of 0 for probabilities)"
        )
    if targets.dtype.kind == "f":
        return f"merit=lambda out, y: -((out.reshape(y.shape) - y) ** 2){mean}, for numbers"
    first = (
        outputs.ndim == targets.ndim + 1
        and (outputs.shape[0], *outputs.shape[2:]) == targets.shape
        and outputs.shape[1] > 1
    )
    if several and outputs.shape[:-1] == targets.shape:
        ways = (
            f"merit=lambda out, y: (out.argmax(1) == y){mean}, for classes along axis 1, "
            "as cross_entropy has them, or with argmax(-1)"
        )
        return ways if first and outputs.ndim > 2 else ""
    if first:
        return f"merit=lambda out, y: (out.argmax(1) == y){mean}, for classes along axis 1"
    return "merit=, a function of outputs and targets (arrays) that gives a number for each example"


@dataclass(frozen=True, kw_only=True, eq=False)
class Supervised(LabelTask):
    """Inputs in, targets out; by default a classification, scored by accuracy between 0 and 1.

    `criterion(outputs, targets)` is the loss of a batch; `merit(outputs, targets)` takes the
    outputs with numpy arrays in them and gives a number per example (or per target, of the targets'
    shape), of which the score is the mean. `metric(outputs, targets)`, in place of a merit, gives
    the score of the whole split at once, for what is no mean over examples (macro F1).
    `metrics`: further scores by name, higher is better, each a function as `metric` is: `{"recall":
        ...}`; a budget limits them as `drop(recall)<=0.5%`. `axes` names the axes of the inputs
        that vary besides axis 0, with bounds where they have some (`{1: Axis("T", most=512)}`): one
        mapping for all inputs, of which those that an input lacks are ignored, or a sequence of one
        for each input. `augment(*inputs)` changes the inputs of each training batch (crops, noise)
        and returns them, one or a tuple; None leaves them as they are. `prepare(*inputs)` does the
        same before it, in every split, when scored too: what leaves the answers as they are and
        saves time (padding cut off).
    `autocast`: torch.bfloat16 has the training loss computed in it where torch holds that safe:
        about half the time on a processor that has bfloat16. None computes in the type of the
        weights.
    `kinds`: what the outputs mean, for distillation (`core.kinds`); None finds out, mostly from the
        criterion.
    `unlabelled`: inputs without labels, which techniques may look at, with places from 0
        (`core.LabelTask`); the examples of `train`, which may then have none, come after them.
    `answer`: who labels them, `answer(places)` or a tensor with a label for each; None: nobody.
    `limit`: the most labels that may be bought of them, 0 or more. Arrays and lists become tensors,
        and whole-number targets int64. A split may be a Dataset, a DataLoader or a list of pairs,
        whose items are tensors of one shape: it is read once. Raises TypeError for a split that is
        no pair, ValueError for a merit and a metric both, and ValueError for one that is empty, has
        inputs and targets of different lengths, or holds NaN or infinity.
    """

    train: Split = field(repr=False)
    validation: Split = field(repr=False)
    test: Split = field(repr=False)
    name: str = "supervised"
    batch_size: int = 128
    criterion: Callable[[Any, Tensor], Tensor] = field(default=functional.cross_entropy, repr=False)
    merit: Callable[[Any, np.ndarray], np.ndarray] = field(default=accuracy, repr=False)
    metric: Callable[[Any, np.ndarray], float] | None = field(default=None, repr=False)
    metrics: Mapping[str, Callable[[Any, np.ndarray], float]] = field(
        default_factory=dict, repr=False
    )
    axes: Mapping[int, str | Axis] | Sequence[Mapping[int, str | Axis]] = field(
        default_factory=dict, repr=False
    )
    augment: Callable[..., Tensor | tuple[Tensor, ...]] | None = field(default=None, repr=False)
    prepare: Callable[..., Tensor | tuple[Tensor, ...]] | None = field(default=None, repr=False)
    autocast: torch.dtype | None = field(default=None, repr=False)
    kinds: Kinds = field(default=None, repr=False)
    unlabelled: Tensor | tuple[Tensor, ...] | None = field(default=None, repr=False)
    answer: Answer = field(default=None, repr=False)
    limit: int | None = field(default=None, repr=False)
    _pool: Pool = field(default=None, repr=False)  # type: ignore[assignment]  # made with the task

    @staticmethod
    def from_loaders(
        train: Iterable[Any],
        validation: Iterable[Any],
        test: Iterable[Any] | None = None,
        *,
        target: str | None = None,
        inputs: Sequence[str] | None = None,
        **settings: Any,
    ) -> Supervised:
        """The same task out of DataLoaders, or other iterables of batches, which are read anew each
        time and never held.

        A batch is (inputs, targets), or (input, input, targets), of which the last is the target,
        or a mapping. Inputs may be nests: a tuple is called by place, `model(*inputs)`, a mapping
        by name, `model(**inputs)`; axis 0 is the example, and batches may differ in length.
        `target`: the name of the targets in a mapping ("labels", "label", "targets", "target" or
            "y", where there is one).
        `inputs`: the names that the model is given, all others where it is None. Without `test`
            nothing can be proved.
        `settings`: those of Supervised, but for batch_size, augment and prepare, which are the
            loader's; `axes` may be by name too. Raises TypeError for what can be read once only (a
            generator) and for batches of another kind, ValueError for empty splits.
        """
        from shoestring.kit.training.streamed import from_loaders

        return from_loaders(train, validation, test, target, inputs, settings)

    def _check_scores(self) -> None:
        if self.metric is not None and self.merit is not accuracy:
            raise ValueError(f"{self.name} has a merit and a metric: give one of them")

    def __post_init__(self) -> None:
        self._check_scores()
        for split in ("train", "validation", "test"):
            object.__setattr__(self, split, _as_tensors(split, getattr(self, split)))
            inputs, targets = self._split(split)
            if not len(targets) and (split != "train" or self.unlabelled is None):
                raise ValueError(
                    f"the {split} split of {self.name} is empty: give it at least one example"
                )
            for one in inputs:
                if len(one) != len(targets):
                    raise ValueError(
                        f"the {split} split of {self.name} has {len(one)} inputs and "
                        f"{len(targets)} targets"
                    )
            for one, what in [*((one, "inputs") for one in inputs), (targets, "targets")]:
                # NaN and infinity show in the sum, which takes a tenth of the time; so does too
                # large a sum.
                if (
                    one.is_floating_point()
                    and not torch.isfinite(one.sum())
                    and not torch.isfinite(one).all()
                ):
                    raise ValueError(
                        f"the {split} split of {self.name} holds NaN or infinite {what}: clean "
                        "the data first"
                    )

        self._check_axes()
        if (
            self._pool is None or self._pool.targets is not self.train[1]
        ):  # replace() hands on that of the same examples
            object.__setattr__(
                self,
                "_pool",
                Pool.of(self._split("train"), self.unlabelled, self.answer, self.limit),
            )

    def _check_axes(self) -> None:
        if isinstance(self.axes, Mapping):
            return
        inputs = self._split("train")[0]
        if not isinstance(self.axes, list | tuple) or not all(
            isinstance(one, Mapping) for one in self.axes
        ):
            raise TypeError(
                f"axes={self.axes!r}: give one mapping, {{1: 'T'}}, or a tuple of one for each "
                "input"
            )
        if len(self.axes) != len(inputs):
            raise ValueError(
                f"axes has {len(self.axes)} mappings and {self.name} has {len(inputs)} inputs: "
                f"give one for each, in their order, {{}} where none varies"
            )
        for number, (one, own) in enumerate(zip(inputs, self.axes, strict=True)):
            if wrong := [axis for axis in own if not 0 < axis < one.ndim]:
                raise ValueError(
                    f"axes names axis {wrong[0]} of input {number} of {self.name}, of shape "
                    f"{list(one.shape)}: give axes from 1 on that it has"
                )

    def _split(self, split: str) -> tuple[tuple[Tensor, ...], Tensor]:
        if split not in ("train", "validation", "test"):
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        inputs, targets = getattr(self, split)
        return (inputs if isinstance(inputs, tuple) else (inputs,)), targets

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Any, Tensor]]:
        """Batches of (inputs, targets); those of "train" in a new order each time."""
        inputs, targets = self._split(split)
        order = torch.randperm(len(targets)) if split == "train" else torch.arange(len(targets))
        weights = self._pool.weights if split == "train" else None
        parts = list(order.split(self.batch_size)) if len(order) else []
        if (
            split == "train" and len(parts) > 1 and len(parts[-1]) == 1
        ):  # batch norm cannot train on one example
            parts[-2:] = [torch.cat(parts[-2:])]
        for chosen in parts:
            batch = _changed(tuple(one[chosen] for one in inputs), self.prepare)
            batch = _changed(batch, self.augment) if split == "train" else batch
            weighted: Any = (
                batch,
                targets[chosen],
                *([] if weights is None else [weights[chosen]]),
            )
            yield weighted

    def loss(self, model: Any, batch: Any) -> Tensor:
        inputs, targets, *weights = batch
        own = self.autocast  # None leaves alone what is on around it
        with torch.autocast(targets.device.type, own) if own is not None else nullcontext():
            outputs = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
            if not weights:
                return loss_of(self.criterion, outputs, targets)
            losses = losses_of(self.criterion, outputs, targets)
            return (losses * weights[0].to(losses)).mean()

    def score(self, predict: Predict, split: str) -> float:
        """The mean merit over a split, or its metric."""
        merits = self.merits(predict, split)
        return (
            self._metric(*self._answers(predict, split)) if merits is None else float(merits.mean())
        )

    def scores(self, predict: Predict, split: str) -> dict[str, float]:
        """The metrics by name over a split."""
        if not self.metrics:
            return {}
        outputs, targets = self._answers(predict, split)
        return {
            name: _number(one, outputs, targets, f"the metric {name!r}")
            for name, one in self.metrics.items()
        }

    def merits(self, predict: Predict, split: str) -> np.ndarray | None:
        """The merit of each example; None where there is a metric.

        Raises ValueError for a merit that gives anything else.
        """
        if self.metric is not None:
            return None
        return np.concatenate(
            [self._merit(outputs, targets) for outputs, targets in self._parts(predict, split)]
        )

    def standard_error(self, predict: Predict, split: str) -> float | None:
        """Of the score: from the merits, or of a metric by drawing the examples anew 50 times (the
        bootstrap).
        """
        if self.metric is None:
            return super().standard_error(predict, split)
        outputs, targets = self._answers(predict, split)
        draw = np.random.default_rng(0)
        drawn = [draw.integers(len(targets), size=len(targets)) for _ in range(_RESAMPLES)]
        return float(
            np.std(
                [
                    self._metric(tree.map(lambda one, at=at: one[at], outputs), targets[at])
                    for at in drawn
                ]
            )
        )

    def _parts(self, predict: Predict, split: str) -> Iterator[tuple[Any, np.ndarray]]:
        """What `predict` answers, and the targets, some hundred examples at a time."""
        inputs, targets = self._split(split)
        for part in zip(*(one.split(500) for one in inputs), targets.split(500), strict=True):
            yield tree.map(array, predict(*_changed(part[:-1], self.prepare))), array(part[-1])

    def _answers(self, predict: Predict, split: str) -> tuple[Any, np.ndarray]:
        """Those of a whole split."""
        outputs, targets = zip(*self._parts(predict, split), strict=True)
        return _joined(outputs), np.concatenate(targets)

    def _merit(self, outputs: Any, targets: np.ndarray) -> np.ndarray:
        merits = np.asarray(self.merit(outputs, targets))
        if merits.ndim == 0:
            raise ValueError(
                f"the merit gives one number ({merits}) for {len(targets)} examples, and one for "
                "each is wanted: give it as metric= in "
                "place of merit= where it is of a whole split"
            )
        some = merits.ndim == 1 and len(targets) <= len(merits) <= max(targets.size, len(targets))
        if merits.shape != targets.shape and not some:
            raise ValueError(
                f"the merit gives shape {list(merits.shape)} for targets {list(targets.shape)}: a "
                "number for each example is wanted (a mean "
                "over the other axes), or one for each target; outputs and targets of unlike "
                "shapes make one of all pairs"
            )
        return merits.reshape(-1)

    def _metric(self, outputs: Any, targets: np.ndarray) -> float:
        assert self.metric is not None
        return _number(
            self.metric, outputs, targets, "the metric", ": give what is per example as merit="
        )

    def sampled(self, examples: int, seed: int) -> Supervised:
        """At most so many validation examples, 1 or more, in the order that they have.

        Itself where there are no more than these.
        """
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        inputs, targets = self.validation
        if len(targets) <= examples:
            return self
        chosen = (
            torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))[:examples]
            .sort()
            .values
        )
        fewer = (
            tuple(one[chosen] for one in inputs) if isinstance(inputs, tuple) else inputs[chosen]
        )
        found = copy(self)  # not replace(), which would look at every training example again
        object.__setattr__(found, "validation", (fewer, targets[chosen]))
        return found

    def _of(self, pool: Pool) -> Supervised:
        """The same task with the labels that a pool has."""
        found, inputs = copy(self), pool.inputs(pool.places)
        object.__setattr__(found, "_pool", pool)
        object.__setattr__(
            found,
            "train",
            (inputs if isinstance(self.train[0], tuple) else inputs[0], pool.targets),
        )
        return found

    def pool(self) -> np.ndarray:
        return (~self._pool.bought).nonzero().flatten().numpy()

    def left(self) -> int | None:
        return self._pool.left()

    def known(self) -> np.ndarray:
        return self._pool.places.numpy().copy()

    def inputs(self, places: Any) -> tuple[Tensor, ...]:
        return self._pool.inputs(places)

    def labels(self, places: Any) -> Tensor:
        return self._pool.labels(places)

    def outputs(self, model: Any, inputs: Any) -> Any:
        judging = evaluating(model) if isinstance(model, torch.nn.Module) else nullcontext()
        with judging, torch.no_grad():
            parts = [
                tree.map(array, model(*_changed(part, self.prepare)))
                for part in zip(*(one.split(500) for one in inputs), strict=True)
            ]
        return tree.map(torch.from_numpy, _joined(parts))

    def losses(self, outputs: Any, labels: Any) -> Tensor:
        return losses_of(self.criterion, outputs, torch.as_tensor(labels))

    def buy(self, places: Any) -> Supervised:
        pool = self._pool.buy(places)
        return self if pool is self._pool else self._of(pool)

    def with_labels(self, labels: Any, weights: Any = None, places: Any = None) -> Supervised:
        return self._of(self._pool.with_labels(labels, weights, places))

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        inputs, _ = self._split("validation")
        each = [self.axes] * len(inputs) if isinstance(self.axes, Mapping) else self.axes
        return tuple(
            Vary(one[:2], {axis: name for axis, name in {0: "N", **own}.items() if axis < one.ndim})
            for one, own in zip(inputs, each, strict=True)
        ), {}


def _number(
    function: Callable[[Any, np.ndarray], float],
    outputs: Any,
    targets: np.ndarray,
    what: str,
    advice: str = "",
) -> float:
    value = np.asarray(function(outputs, targets))
    if value.size != 1:
        raise ValueError(
            f"{what} gives shape {list(value.shape)}, and one number is wanted{advice}"
        )
    return float(value.reshape(()))


def _changed(
    inputs: tuple[Tensor, ...], change: Callable[..., Tensor | tuple[Tensor, ...]] | None
) -> tuple[Tensor, ...]:
    changed = inputs if change is None else change(*inputs)
    return changed if isinstance(changed, tuple) else (changed,)


def _joined(parts: Sequence[Any]) -> Any:
    """Outputs of several batches as those of one; raises ValueError where their shapes do not fit."""
    leaves, structure = tree.flatten(parts[0])
    try:
        numbered = [tree.match(structure, one, "the outputs of a batch") for one in parts]
        joined = [
            np.concatenate([one[number] for one in numbered]) for number in range(len(leaves))
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "a metric takes the outputs of a whole split, and those of its batches do not fit "
            f"together ({error})"
        ) from None
    return tree.fill(structure, joined)


def _as_tensors(name: str, split: Any) -> Split:
    """A split with tensors in it, from whatever torch takes."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        split = collected(name, split)
    inputs, targets = split
    several = isinstance(inputs, tuple)
    tensors = tuple(torch.as_tensor(one) for one in (inputs if several else (inputs,)))
    return (tensors if several else tensors[0]), as_targets(targets)


def as_targets(targets: Any) -> Tensor:
    """Targets as a tensor; integers as int64."""
    targets = torch.as_tensor(targets)
    if not targets.is_floating_point() and not targets.is_complex() and targets.dtype != torch.bool:
        targets = targets.long()
    return targets
