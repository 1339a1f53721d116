"""Supervised: a Task made of inputs and targets."""

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
from shoestring.artifact.chains.input_chain import InputChain
from shoestring.core import Axis, LabelTask, Predict, Vary, array, evaluating
from shoestring.core.kinds import Kinds
from shoestring.kit.training.criterion import loss_of, losses_of
from shoestring.kit.training.merits import accuracy, merits_of, metric_of
from shoestring.kit.training.pool import Answer, Pool
from shoestring.kit.training.splits import (
    Split,
    as_tensors,
    batches_of,
    changed,
    check_axes,
    check_split,
    joined,
    sample,
)

_RESAMPLES = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Supervised(LabelTask):
    """Inputs and targets; by default a classification, scored by accuracy from 0 to 1.

    `train`, `validation`, `test`: (inputs, targets), with several inputs in a tuple; axis 0 of each
        is the example. Arrays and lists become tensors, and integer targets become int64. A
        Dataset, a DataLoader or a list of pairs, whose items are tensors of one shape, is read once
        into memory. Without `test` nothing can be proved.
    `name`: tells tasks apart in records.
    `batch_size`: of training and validation, 1 or more.
    `criterion`: `criterion(outputs, targets)` is the loss of a batch.
    `merit`: `merit(outputs, targets)` gets the outputs with numpy arrays in them, and returns a
        number for each example, or for each target. The score is their mean.
    `metric`: instead of a merit, `metric(outputs, targets)` returns the score of the whole split,
        for scores that are not a mean over examples (macro F1).
    `metrics`: more scores by name, higher is better, each a function like `metric`. A budget limits
        them, as in `drop(recall)<=0.5%`.
    `axes`: the axes of the inputs that vary besides axis 0, with their names, and with bounds where
        there are some: `{1: Axis("T", most=512)}`. One mapping for all inputs, whose axes are
        ignored for an input that lacks them; or a sequence with a mapping for each input.
    `augment`: `augment(*inputs)` changes the inputs of each training batch (crops, noise) and
        returns one input or a tuple; None: no change.
    `together`: `together(*inputs, targets)` changes the inputs of a training batch and its targets,
        as one does that mirrors pictures and their boxes; it returns them in the same order. It
        comes after `augment`; None: no change.
    `prepare`: like `augment`, before it and in every split. It is for changes that keep the
        outputs and save time, such as cutting off padding.
    `autocast`: torch.bfloat16 computes the training loss in bfloat16 where torch considers it safe,
        in about half the time on a processor that has bfloat16. None: in the type of the weights.
    `kinds`: what the outputs mean, for distillation (`core.kinds`); None: inferred, mostly from the
        criterion.
    `unlabelled`: inputs without labels, of which techniques may buy some (`core.LabelTask`). Their
        indices start from 0; the examples of `train`, which may then be empty, follow.
    `answer`: what labels them: `answer(indices)`, or a tensor with a label for each; None: nothing.
    `limit`: how many labels may be bought, 0 or more; None for no limit.
    `input_chain`: how the inputs were made of raw ones, for the file; None: they are the raw ones.

    Raises TypeError for a split that is not a pair, and ValueError for a split that is empty, has
    inputs and targets of different lengths or holds NaN or infinity, and for a merit together with
    a metric.
    """

    train: Split = field(repr=False)
    validation: Split = field(repr=False)
    test: Split | None = field(default=None, repr=False)
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
    together: Callable[..., tuple[Tensor, ...]] | None = field(default=None, repr=False)
    prepare: Callable[..., Tensor | tuple[Tensor, ...]] | None = field(default=None, repr=False)
    autocast: torch.dtype | None = field(default=None, repr=False)
    kinds: Kinds = field(default=None, repr=False)
    unlabelled: Tensor | tuple[Tensor, ...] | None = field(default=None, repr=False)
    answer: Answer = field(default=None, repr=False)
    limit: int | None = field(default=None, repr=False)
    input_chain: InputChain | None = field(default=None, repr=False)
    has_test: bool = field(init=False, repr=False)
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
        """The same task from DataLoaders or other iterables of batches, which stay out of memory.

        A batch is (inputs, targets), or (input, input, targets), whose last part is the target, or
        a mapping. Inputs may be nested. A tuple is passed by position, `model(*inputs)`, and a
        mapping by name, `model(**inputs)`. Axis 0 is the example; batches may differ in length.

        `train`, `validation`, `test`: iterables that can be read again and again. Without `test`
            nothing can be proved.
        `target`: the name of the targets in a mapping; None: the one of "labels", "label",
            "targets", "target" and "y" that it has.
        `inputs`: the names that the model gets from a mapping; None: all others.
        `settings`: fields of Supervised, without batch_size, augment and prepare, which the loaders
            decide; `axes` may be keyed by the input's name too.

        Raises TypeError for an iterable that can be read only once (a generator) and for batches of
        another kind, and ValueError for empty splits.
        """
        from shoestring.kit.training.streamed import from_loaders

        return from_loaders(train, validation, test, target, inputs, settings)

    def _check_scores(self) -> None:
        if self.metric is not None and self.merit is not accuracy:
            raise ValueError(f"{self.name} has a merit and a metric: give one of them")

    def __post_init__(self) -> None:
        self._check_scores()
        object.__setattr__(self, "has_test", self.test is not None)
        for split in ("train", "validation", *(["test"] if self.has_test else [])):
            object.__setattr__(self, split, as_tensors(split, getattr(self, split)))
            inputs, targets = self._split(split)
            if not len(targets) and (split != "train" or self.unlabelled is None):
                raise ValueError(
                    f"the {split} split of {self.name} is empty: give it at least one example"
                )
            check_split(split, self.name, inputs, targets)
            if self.unlabelled is not None and self.criterion is functional.cross_entropy:
                self._check_classes(split, targets)
        check_axes(self.axes, self._split("train")[0], self.name)
        # replace() hands on the pool of the same examples
        if self._pool is None or not self._pool.is_of(self.unlabelled, *self._split("train")):
            pool = Pool.of(self._split("train"), self.unlabelled, self.answer, self.limit)
        else:
            pool = self._pool.sold_by(self.answer, self.limit)
        object.__setattr__(self, "_pool", pool)

    def _check_classes(self, split: str, targets: Tensor) -> None:
        """Raise ValueError for a negative class; cross-entropy leaves out what is -100."""
        if targets.is_floating_point() or not len(
            wrong := targets[(targets < 0) & (targets != -100)]
        ):
            return
        raise ValueError(
            f"{len(wrong):,} labels of the {split} split of {self.name} are negative, such as "
            f"{int(wrong[0])}, and classes are counted from 0: give examples without a label as "
            "unlabelled=x[y < 0], and the others as train=(x[y >= 0], y[y >= 0])"
        )

    def _split(self, split: str) -> tuple[tuple[Tensor, ...], Tensor]:
        if split not in ("train", "validation", "test"):
            raise ValueError(
                f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'"
            )
        if (given := getattr(self, split)) is None:
            raise ValueError(f"{self.name} has no test split: give it one, test=(inputs, targets)")
        inputs, targets = given
        return (inputs if isinstance(inputs, tuple) else (inputs,)), targets

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Any, Tensor]]:
        """Batches of (inputs, targets), and of weights where there are any.

        The order of "train" is drawn anew for each pass.
        """
        inputs, targets = self._split(split)
        weights = self._pool.weights if split == "train" else None
        for indices in batches_of(len(targets), self.batch_size, shuffled=split == "train"):
            batch = self.prepared(tuple(tensor[indices] for tensor in inputs))
            wanted = targets[indices]
            if split == "train":
                batch = changed(batch, self.augment)
                *batch, wanted = changed((*batch, wanted), self.together)
            weighted: Any = (
                tuple(batch),
                wanted,
                *([] if weights is None else [weights[indices]]),
            )
            yield weighted

    def loss(self, model: Any, batch: Any) -> Tensor:
        inputs, targets, *weights = batch
        dtype = self.autocast  # None keeps an autocast that is on already
        with torch.autocast(targets.device.type, dtype) if dtype is not None else nullcontext():
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
            name: metric_of(metric, outputs, targets, f"the metric {name!r}")
            for name, metric in self.metrics.items()
        }

    def merits(self, predict: Predict, split: str) -> np.ndarray | None:
        """The merit of each example, an array; None where there is a metric.

        Raises ValueError where the merit returns anything but a number for each example or target.
        """
        if self.metric is not None:
            return None
        parts = self._parts(predict, split)
        return np.concatenate(
            [merits_of(self.merit, outputs, targets) for outputs, targets in parts]
        )

    def standard_error(self, predict: Predict, split: str) -> float | None:
        """The standard error of the score.

        It follows from the merits, or from 50 resamples of the examples for a metric (the
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
                    self._metric(
                        tree.map(lambda leaf, rows=rows: leaf[rows], outputs), targets[rows]
                    )
                    for rows in drawn
                ]
            )
        )

    def _parts(self, predict: Predict, split: str) -> Iterator[tuple[Any, np.ndarray]]:
        """The outputs of `predict` and the targets, for 500 examples at a time."""
        inputs, targets = self._split(split)
        for part in zip(*(one.split(500) for one in inputs), targets.split(500), strict=True):
            yield tree.map(array, predict(*self.prepared(part[:-1]))), array(part[-1])

    def _answers(self, predict: Predict, split: str) -> tuple[Any, np.ndarray]:
        """The outputs of `predict` and the targets, for a whole split."""
        outputs, targets = zip(*self._parts(predict, split), strict=True)
        return joined(outputs), np.concatenate(targets)

    def _metric(self, outputs: Any, targets: np.ndarray) -> float:
        assert self.metric is not None
        return metric_of(
            self.metric, outputs, targets, "the metric", ": give what is per example as merit="
        )

    def sampled(self, examples: int, seed: int) -> Supervised:
        """The same task with at most `examples` validation examples (1 or more), in their order.

        Returns itself where it has no more than these.
        """
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        inputs, targets = self.validation
        if len(targets) <= examples:
            return self
        kept = sample(len(targets), examples, seed)
        fewer = tuple(x[kept] for x in inputs) if isinstance(inputs, tuple) else inputs[kept]
        task = copy(self)  # not replace(), which would check every training example again
        object.__setattr__(task, "validation", (fewer, targets[kept]))
        return task

    def _of(self, pool: Pool) -> Supervised:
        """The same task with the labels of a pool."""
        task, (pool, inputs) = copy(self), pool.handed_out()
        object.__setattr__(task, "_pool", pool)
        train = (inputs if isinstance(self.train[0], tuple) else inputs[0], pool.targets)
        object.__setattr__(task, "train", train)
        return task

    def pool(self) -> np.ndarray:
        return (~self._pool.bought).nonzero().flatten().numpy()

    def left(self) -> int | None:
        return self._pool.left()

    def known(self) -> np.ndarray:
        return self._pool.indices.numpy().copy()

    def inputs(self, indices: Any) -> tuple[Tensor, ...]:
        return self._pool.inputs(indices)

    def prepared(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return changed(inputs, self.prepare)

    def labels(self, indices: Any) -> Tensor:
        return self._pool.labels(indices)

    def outputs(self, model: Any, inputs: Any) -> Any:
        evaluation = evaluating(model) if isinstance(model, torch.nn.Module) else nullcontext()
        with evaluation, torch.no_grad():
            parts = [
                tree.map(array, model(*self.prepared(part)))
                for part in zip(*(tensor.split(500) for tensor in inputs), strict=True)
            ]
        return tree.map(torch.from_numpy, joined(parts))

    def losses(self, outputs: Any, labels: Any) -> Tensor:
        return losses_of(self.criterion, outputs, torch.as_tensor(labels))

    def buy(self, indices: Any) -> Supervised:
        pool = self._pool.buy(indices)
        return self if pool is self._pool else self._of(pool)

    def with_labels(self, labels: Any, weights: Any = None, indices: Any = None) -> Supervised:
        return self._of(self._pool.with_labels(labels, weights, indices))

    def recalled(self, indices: Any, labels: Any) -> Supervised:
        pool = self._pool.recalled(indices, labels)
        return self if pool is self._pool else self._of(pool)

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        inputs, _ = self._split("validation")
        each = [self.axes] * len(inputs) if isinstance(self.axes, Mapping) else self.axes
        return tuple(
            Vary(one[:2], {axis: name for axis, name in {0: "N", **own}.items() if axis < one.ndim})
            for one, own in zip(inputs, each, strict=True)
        ), {}
