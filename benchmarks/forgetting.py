"""What adapting makes a network forget, and what cures it: `python benchmarks/forgetting.py`.

A small network learns the MNIST digits 0 to 4 (2,000 pictures), then 5 to 9 (2,000 others), twice:
with a head for each on one body, and with one head for all ten. It adapts by plain training, by
rehearsal of 20 and of 200 old pictures, by learning without forgetting, and by a new head on the
frozen body. Beside them training on both at once, with losses added and weighed by uncertainty, and
a network of its own for each half, which is the single-task baseline. Test accuracy of both halves
before and after; three seeds, which draw the pictures, the first weights and the batches. The
techniques' own settings are those of their defaults but for the training, which all share.

Goes on where it was interrupted; about three minutes of a core. --quick: 40 steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import torch
from rows import Rows, start
from torch import Tensor, nn

from shoestring.adapt import (
    Entry,
    Frozen,
    Keeping,
    LastLayers,
    LearningWithoutForgetting,
    Rehearsal,
    Several,
    Uncertainty,
    Uniform,
    forgetting,
    shared_body,
    train_together,
)
from shoestring.core import Stage, Task, Technique, score, seeded
from shoestring.kit import AdamW, Supervised, Training, clone, train
from shoestring.tasks import mnist

SEEDS = (0, 1, 2)
TRAINING = Training(200, AdamW(2e-3))
QUICK = Training(40, AdamW(2e-3))
PICTURES = 2000
"""Of each half, to train on."""
HALVES = {"zero to four": range(5), "five to nine": range(5, 10)}
OLD, NEW = HALVES
ENTRIES = {OLD: "old", NEW: "new"}


@dataclass(frozen=True, kw_only=True)
class Plain(Technique):
    """Training on the new task alone."""

    stage: ClassVar = Stage.LABELS

    training: Training = TRAINING

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        return train(clone(model), task, self.training)


def body() -> nn.Sequential:
    """From pictures to 64 features."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(8, 16, 5, stride=2, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 7 * 7, 64), nn.ReLU(),
    )  # fmt: skip


@cache
def half(name: str, seed: int, heads: int) -> Supervised:
    """The digits of a half; with two heads they are called 0 to 4 in both halves."""
    whole, digits = mnist(batch_size=64), HALVES[name]
    first = digits[0] if heads == 2 else 0

    def split(given: object, most: int | None) -> tuple[Tensor, Tensor]:
        pictures, labels = given  # type: ignore[misc]
        rows = ((labels >= digits[0]) & (labels <= digits[-1])).nonzero().flatten()
        draw = torch.Generator().manual_seed(seed)
        rows = rows[torch.randperm(len(rows), generator=draw)[:most]]
        return pictures[rows], labels[rows] - first

    return replace(
        whole,
        train=split(whole.train, PICTURES),
        validation=split(whole.validation, None),
        test=split(whole.test, None),
        name=name,
    )


def tasks(heads: int, seed: int) -> dict[str, Task]:
    """Both halves, for a model with so many heads."""
    halves = {name: half(name, seed, heads) for name in HALVES}
    if heads == 1:
        return dict(halves)
    return {name: Entry(one, ENTRIES[name]) for name, one in halves.items()}


def network(heads: int) -> nn.Module:
    """Untrained, with a head for ten digits or two for five."""
    if heads == 1:
        return nn.Sequential(*body(), nn.Linear(64, 10))
    return shared_body(body(), {entry: nn.Linear(64, 5) for entry in ENTRIES.values()})


def ways(training: Training) -> dict[str, Technique]:
    """Each way to adapt."""
    return {
        "plain": Plain(training=training),
        "new head, frozen body": Frozen(trained=LastLayers(1), training=training),
        "rehearsal of 20": Rehearsal(examples=20, training=training),
        "rehearsal of 200": Rehearsal(examples=200, training=training),
        "without forgetting": LearningWithoutForgetting(training=training),
    }


def run(rows: Rows, heads: int, name: str, seed: int, training: Training) -> None:
    """One way, with one seed: both halves before and after."""
    subject, both = f"{_heads(heads)}, {name}", tasks(heads, seed)
    with seeded(seed):
        model = train(network(heads), both[OLD], training, what="learning the old half")
        task = Keeping(both[NEW], {OLD: both[OLD]})
        made = ways(training)[name](model, task.sealed())
    for row in forgetting(model, made, both, split="test").rows:
        assert row.after is not None
        rows.add(subject, f"{row.name}, before", 100 * row.before, "%", seed)
        rows.add(subject, f"{row.name}, after", 100 * row.after, "%", seed)
    rows.add(subject, "done", 1, "", seed)


def together(rows: Rows, name: str, seed: int, training: Training) -> None:
    """Both halves at once on one body, or a network for each."""
    both = tasks(2, seed)
    with seeded(seed):
        model = network(2)
        if name == "a network for each":
            made = {half: train(clone(model), one, training) for half, one in both.items()}
        else:
            weighting = Uncertainty() if "uncertainty" in name else Uniform()
            train_together(model, Several(tasks=both), training, weighting=weighting)
            made = dict.fromkeys(both, model)
    for half_name, one in both.items():
        found = score(one, made[half_name], "test")
        rows.add(name, f"{half_name}, after", 100 * found, "%", seed)
    rows.add(name, "done", 1, "", seed)


def _heads(heads: int) -> str:
    return "one head" if heads == 1 else "two heads"


def main() -> None:
    torch.set_num_threads(1)
    rows = start("forgetting", "mnist-cpu", __doc__ or "")
    training, seeds = (QUICK, SEEDS[:1]) if rows.quick else (TRAINING, SEEDS)
    for heads in (2, 1):
        for name in ways(training):
            if heads == 1 and "frozen" in name:
                continue  # the last layer is the head that both halves share
            for seed in seeds:
                subject = f"{_heads(heads)}, {name}"
                if rows.wanted(subject) and not rows.done(subject, seed):
                    run(rows, heads, name, seed, training)
    for name in ("both at once", "both at once, uncertainty", "a network for each"):
        for seed in seeds:
            if rows.wanted(name) and not rows.done(name, seed):
                together(rows, name, seed, training)
    rows.close()


if __name__ == "__main__":
    main()
