"""The check of what saves labels.

An honest technique passes it, and those that cheat or save nothing do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import test_conformance as conformance
import torch
from getting import PLAIN, RandomChoice, check_it_saves
from torch import nn

from shoestring import kit
from shoestring.core import Ledger, Task, Technique, View, label_task
from shoestring.kit import Training
from shoestring.models import DigitsLeNet


def behind(task: Any) -> Any:
    """The task itself, past all views: what a technique that means to cheat gets at."""
    while isinstance(task, View):
        task = getattr(task, fields(task)[0].name)
    return task


@dataclass(frozen=True, kw_only=True)
class Margin(Technique):
    """Buys in rounds the labels of which the model is least sure, by the two highest probabilities.

    Saves: labels.
    Source: Scheffer, Decomain & Wrobel 2001, section 3.
    """

    labels: int = 40
    rounds: int = 3
    training: Training = PLAIN

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        task, left = label_task(task), self.labels
        for number in range(self.rounds):
            learner = kit.train(kit.clone(model), task, self.training)
            pool = task.pool()
            top = task.outputs(learner, task.inputs(pool)).softmax(1).topk(2).values
            now = left // (self.rounds - number)
            task, left = task.buy(pool[(top[:, 0] - top[:, 1]).argsort()[:now].numpy()]), left - now
        return kit.train(kit.clone(model), task, self.training)


@dataclass(frozen=True, kw_only=True)
class First(Technique):
    """Buys what it is surest of: worse than chance."""

    labels: int = 40
    training: Training = PLAIN

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        task = label_task(task)
        learner, pool = kit.train(kit.clone(model), task, self.training), task.pool()
        sure = task.outputs(learner, task.inputs(pool)).softmax(1).max(1).values
        return kit.train(
            kit.clone(model),
            task.buy(pool[sure.argsort(descending=True)[: self.labels].numpy()]),
            self.training,
        )


@dataclass(frozen=True, kw_only=True)
class Peek(Technique):
    """Asks who labels, and does not pay."""

    labels: int = 40
    training: Training = PLAIN

    def __call__(self, model: nn.Module, task: Any) -> nn.Module:
        indices = task.pool()[: 3 * self.labels]
        free = task.with_labels(
            [*task.labels(task.known()), *behind(task).answer(indices.tolist())],
            indices=[*task.known(), *indices],
        )
        return kit.train(kit.clone(model), free, self.training)


@dataclass(frozen=True, kw_only=True)
class Choosing(Technique):
    """Trains on the split that is there to choose by."""

    labels: int = 40
    training: Training = PLAIN

    def __call__(self, model: nn.Module, task: Any) -> nn.Module:
        (images, labels) = task.validation
        return kit.train(
            kit.clone(model),
            kit.Supervised(
                train=(images, labels), validation=(images, labels), test=(images, labels)
            ),
            self.training,
        )


@dataclass(frozen=True, kw_only=True)
class Batching(Choosing):
    """The same, batch by batch."""

    def __call__(self, model: nn.Module, task: Any) -> nn.Module:
        batches = list(task.batches("validation"))
        images, labels = torch.cat([x for (x,), _ in batches]), torch.cat([y for _, y in batches])
        return kit.train(
            kit.clone(model),
            kit.Supervised(
                train=(images, labels), validation=(images, labels), test=(images, labels)
            ),
            self.training,
        )


@dataclass(frozen=True, kw_only=True)
class Greedy(RandomChoice):
    """Takes more than it was to have, and pays."""

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        return RandomChoice(labels=4 * self.labels, training=self.training)(model, task)


@dataclass(frozen=True, kw_only=True)
class Plain(Technique):
    """Buys nothing, and trains on what there is."""

    training: Training = PLAIN

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        return kit.train(kit.clone(model), task, self.training)


def test_an_honest_technique_saves_labels():
    found = check_it_saves(Margin(), "labels")
    assert found.share is not None and found.share < 0.9 and found.score > 0.88
    assert "a score of 0." in str(found) and "in place of" in str(found)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (RandomChoice, "saves nothing: a score of 0.*in place of"),
        (First, "saves nothing"),
        (Plain, "saves nothing"),
        (Peek, "labels were answered and .* counted: .* buys past the run"),
        (Choosing, r"reads the labels of the validation split \(validation\)"),
        (Batching, r"reads the labels of the validation split \(batches\('validation'\)\)"),
        (Greedy, "was to have 120 labels and took 360"),
    ],
)  # fmt: skip
def test_what_cheats_or_saves_nothing_is_refused(make: Callable[[], Technique], says: str):
    with pytest.raises(AssertionError, match=says):
        check_it_saves(make(), "labels", points=(120,))


def test_another_cost_needs_its_own_curves():
    with pytest.raises(
        AssertionError, match=r"add to CURVES in tests/getting\.py what makes its curve"
    ):
        check_it_saves(Margin(), "communicated_bytes", "parallel.Quiet")


def test_a_technique_that_buys_is_held_to_the_rest_of_the_contract_too(tmp_path: Path):
    technique = Margin(labels=8, rounds=2, training=Training(2))
    task, model = conformance.task_for(Margin), conformance.trained(DigitsLeNet)

    def run(one: Technique) -> nn.Module:
        return conformance.ran(one, DigitsLeNet)

    conformance.test_it_leaves_its_argument_alone(technique, model, task)
    conformance.test_same_seed_same_result(technique, model, task, run)
    conformance.test_it_works_in_a_chain(technique, model, task, run)
    conformance.test_it_works_through_apply(technique, model, task, run, tmp_path)
    conformance.test_it_survives_the_file(technique, model, task, run, tmp_path)
    (row,) = Ledger(tmp_path / "ledger.sqlite").rows()
    assert row.cost_after.labels == 8 and row.cost_after.training_operations
