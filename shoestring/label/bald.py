"""BALD: the labels about which the model's own samples disagree."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.core.labels import LabelTask
from shoestring.kit import SkippedWarning, Training
from shoestring.label.choosing.answers import Places, answers, entropy
from shoestring.label.choosing.batches import Batch, Clustered
from shoestring.label.choosing.buying import AsRanked, Classes, bought, check_buying, ordered
from shoestring.label.choosing.doubt import by_worth
from shoestring.label.choosing.prices import Equal, Prices
from shoestring.label.typical import first_batch


@dataclass(frozen=True, kw_only=True)
class Bald(Technique):
    """Buy labels about which networks with different units dropped disagree.

    The worth of an example is the mutual information of its class and the dropped units: the
    entropy of the mean of `samples` answers, minus their mean entropy. That of a sequence or a
    picture is the sum over its places, without padding.

    A model in which nothing is dropped always gives the same answer, and the information is 0
    everywhere: the entropy of its answer takes its place, and a SkippedWarning says so.

    Saves: labels (examples that are doubtful by themselves, such as two classes in one picture,
    are not bought).
    Costs: a training for each round, and `samples` answers to the whole pool.
    Source: Houlsby et al. 2011; Gal, Islam & Ghahramani 2017, section 4 (dropout).
    Differs: what is random in training is found by trying: modules without buffers go into training
    mode. A batch is chosen by `batch`. Where no label is there yet, the first batch is that of
    Typical().

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more: the model learns in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `samples`: answers of the model with units dropped, 2 or more.
    `batch`: how a batch is chosen by worth: Clustered(), FarApart(), Stochastic() or Worthiest().
    `prices`: of labels: Equal(), ByLength() or Listed(); worth counts by price.
    `classes`: AsRanked(), or Balanced().

    Raises ValueError for numbers out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    labels: int = 100
    rounds: int = 5
    training: Training = Training(500)
    samples: int = 10
    batch: Batch = Clustered()
    prices: Prices = Equal()
    classes: Classes = AsRanked()

    def __post_init__(self) -> None:
        check_buying(self.labels, self.rounds)
        if not isinstance(self.samples, int) or self.samples < 2:
            raise ValueError(f"samples={self.samples!r}: give an integer, 2 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The model, trained with the labels that were bought.

        Raises LabelBudgetError where the pool or the task's limit has fewer labels.
        """
        return bought(self, model, task, first=first_batch(self))

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices to label, those with the most disagreement first.

        `model`: a module that was trained on the labels that are there; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for answers
        that are not of classes, that have one class, or that are NaN.
        """
        return ordered(self._ranked, self.classes, model, task, count)

    def _ranked(self, model: nn.Module, task: LabelTask, pool: Tensor, count: int) -> Tensor:
        worth_N, places_N = information(model, task, pool.numpy(), self.samples)
        return by_worth(self, worth_N, places_N, model, task, pool, count)


def information(
    model: nn.Module, task: LabelTask, indices: Any, samples: int
) -> tuple[Tensor, Tensor]:
    """The mutual information of each example's class and the dropped units, in nats, N; places N.

    The entropy of the answer, with a SkippedWarning, where the model drops nothing.
    """
    found = [_dropped(model, task, indices) for _ in range(samples)]
    rows_KPC = torch.stack([torch.cat([one.probabilities_PC for one in parts]) for parts in found])
    begins = np.cumsum([0, *(one.examples for one in found[0])])
    owners = torch.cat(
        [one.owner_P + int(at) for one, at in zip(found[0], begins[:-1], strict=True)]
    )
    entropy_P = torch.stack([entropy(rows_PC) for rows_PC in rows_KPC]).mean(0)
    if all(torch.equal(rows_PC, rows_KPC[0]) for rows_PC in rows_KPC):
        warnings.warn(
            f"{type(model).__name__} drops nothing in training, so that its answers never "
            "disagree: the entropy of its answer takes the place of their disagreement",
            SkippedWarning,
            stacklevel=2,
        )
        entropy_P = torch.zeros_like(entropy_P)
    worth_P = (entropy(rows_KPC.mean(0)) - entropy_P).clamp(min=0)
    places_N = torch.bincount(owners, minlength=int(begins[-1])).float()
    return torch.zeros(int(begins[-1])).index_add(0, owners, worth_P), places_N


def _dropped(model: nn.Module, task: LabelTask, indices: Any) -> list[Places]:
    with _dropping(model):
        return list(answers(model, task, indices))


@contextmanager
def _dropping(model: nn.Module) -> Iterator[None]:
    """A context in which a module that is run drops units as in training.

    A module with buffers of its own, such as a batch norm, stays in evaluation mode: its running
    statistics would change.
    """
    modes: list[tuple[nn.Module, bool]] = []

    def begin(module: nn.Module, _: Any) -> None:
        for part in module.modules():
            modes.append((part, part.training))
            part.training = not any(True for _ in part.buffers(recurse=False))

    def end(module: nn.Module, _: Any, __: Any) -> None:
        while modes:
            part, mode = modes.pop()
            part.training = mode

    hooks = [
        model.register_forward_pre_hook(begin),
        model.register_forward_hook(end, always_call=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
