"""What a technique saves in getting a model, proven by a curve at equal score.

The check of the conformance tests.
A technique joins by its docstring: `Saves: labels`. Its field `labels`, where it has one, is how
many it may buy; without one it is given tasks with more and more labels. Its baseline buys as many
at random and trains as the technique does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

import torch
from made_few import few_curves
from made_rules import weak_curves
from made_spelling import dual_curves
from torch import nn

from shoestring import kit
from shoestring.core import Task, Technique, View, label_task, seeded
from shoestring.core.curve import Curve, Run, Saving, curve, saving
from shoestring.core.resource import GETTING
from shoestring.kit import AdamW, Supervised, Training
from shoestring.tasks import digits

SEEDS = (0, 1, 2)
BEGIN = 40
"""Labels that the task comes with."""
POINTS = (80, 120, 160)
"""Labels in all, at each point of a technique's curve."""
BASELINE = (40, 80, 120, 160, 200)
"""Labels in all, at each point of its baseline's."""
MOST = 0.9
"""What a technique may need at most, as a share of what the baseline needs for the same score.

Less is no luck of three seeds.
"""
PLAIN = Training(100, AdamW(2e-2, 0.1))
"""How a technique without a field `training`, and the baseline beside it, learn."""

CURVES: dict[str, Callable[[Technique], tuple[Curve, Curve]]] = {
    "dual.BackTranslation": dual_curves,
    "dual.DualLearning": dual_curves,
    "adapt.Prototypes": few_curves,
    "label.Weak": weak_curves,
}
"""Of techniques that save another cost of getting than labels, or labels of other tasks.

What makes their curve, and that of the cheapest honest baseline.
"""


@dataclass(frozen=True, kw_only=True)
class RandomChoice(Technique):
    """The cheapest honest baseline: buys labels at random and trains."""

    labels: int = 40
    training: Training = PLAIN

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        pool = label_task(task).pool()
        chosen = pool[torch.randperm(len(pool))[: self.labels].numpy()]
        return kit.train(kit.clone(model), label_task(task).buy(chosen), self.training)


@dataclass(frozen=True, eq=False)
class Watched(View):
    """A task that notes who reads the labels of its validation split, which nobody paid for."""

    task: Task
    reads: list[str] = field(default_factory=list)

    def loss(self, model: Any, batch: Any) -> Any:
        return self.task.loss(model, batch)

    def batches(self, split: str, **kwargs: Any) -> Any:
        if split == "validation":
            self.reads.append("batches('validation')")
        return self.task.batches(split, **kwargs)

    @property
    def validation(self) -> Any:
        self.reads.append("validation")
        return self.task.validation  # type: ignore[attr-defined]


@cache
def network() -> nn.Module:
    """The network that the labels are for, untrained."""
    with seeded(0):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.05), nn.Linear(48, 10)
        )


def few_labels(count: int, seed: int, asked: set[int] | None = None) -> Supervised:
    """The digits with labels of `count` training images, drawn by the seed.

    Those of the others are sold, and noted in `asked`.
    """
    whole = digits(batch_size=64)
    images, labels = whole.train
    assert isinstance(images, torch.Tensor)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    given, rest = order[:count], order[count:]

    def answer(indices: Sequence[int]) -> torch.Tensor:
        if asked is not None:
            asked.update(indices)
        return labels[rest[list(indices)]]

    return replace(
        whole, train=(images[given], labels[given]), unlabelled=images[rest], answer=answer
    )


def label_curves(technique: Technique, points: Sequence[int] = POINTS) -> tuple[Curve, Curve]:
    """The technique's curve of labels, and that of random choice with the same training.

    Scored on the test split. Raises AssertionError where labels were answered that nobody counted,
    or read off the validation split.
    """
    names = {one.name for one in fields(technique)}  # type: ignore[arg-type]
    training = technique.training if "training" in names else PLAIN  # type: ignore[attr-defined]
    asked: list[set[int]] = []
    reads: list[list[str]] = []

    def ours(seed: int) -> Iterator[Run]:
        for count in points:
            begin = BEGIN if "labels" in names else count
            asked.append(set())
            task = Watched(few_labels(begin, seed, asked[-1]))
            reads.append(task.reads)
            sized = replace(technique, labels=count - begin) if "labels" in names else technique  # type: ignore[type-var, call-arg]
            yield sized, network(), task

    found = curve(ours, resource="labels", seeds=SEEDS, split="test")
    counted = [cost for row in found.costs for cost in row]
    for number, (answered, cost, read) in enumerate(zip(asked, counted, reads, strict=True)):
        begin = BEGIN if "labels" in names else points[number % len(points)]
        assert len(answered) == cost - begin, (
            f"{len(answered)} labels were answered and {cost - begin:.0f} counted: {technique} "
            "buys past the run"
        )
        assert not read, (
            f"{technique} reads the labels of the validation split ({read[0]}), which nobody paid "
            "for: choose by score()"
        )
        assert cost <= points[number % len(points)], (
            f"{technique} was to have {points[number % len(points)]} labels and took {cost:.0f}"
        )
    return found, _baseline(training)


@cache
def _baseline(training: Training) -> Curve:
    def runs(seed: int) -> Iterator[Run]:
        for count in BASELINE:
            yield (
                RandomChoice(labels=count - BEGIN, training=training),
                network(),
                few_labels(BEGIN, seed),
            )

    return curve(runs, resource="labels", seeds=SEEDS, split="test")


def check_it_saves(
    technique: Technique, resource: str, key: str = "", points: Sequence[int] = POINTS
) -> Saving:
    """What it saves of a cost of getting, at equal score.

    Raises AssertionError where that is nothing, or was not paid for.
    """
    assert resource in GETTING
    if key not in CURVES and resource != "labels":
        raise AssertionError(
            f"{key} says that it saves {resource}: add to CURVES in tests/getting.py what makes "
            "its curve and that of the cheapest honest baseline"
        )
    found = saving(*(CURVES[key](technique) if key in CURVES else label_curves(technique, points)))
    assert found.share is not None and found.share <= MOST and found.wins == len(found.ours), (
        f"{technique} saves nothing: {found}"
    )
    return found
