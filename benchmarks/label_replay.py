"""Does it pay to choose, on labels that were bought already, who buys the rest?

`python benchmarks/label_replay.py`: ten minutes on one core. Half of the labels are bought by
`Margin()`. Then each technique buys half of those again, as if they were a pool (on digits three
times, from other weights), and the best on validation data buys the other half. Beside it:
always `Margin()`, always `Random()`, from the same pool, first labels and weights. Test data is
read at the end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from active_learning_sets import SETS, Labelled, start_of
from rows import start
from torch import Tensor, nn

from shoestring.core import Task, score, seeded
from shoestring.core.labels import LabelTask, label_task
from shoestring.core.view import View
from shoestring.label import (
    Badge,
    Bald,
    KCentre,
    LeastConfident,
    Margin,
    PredictiveEntropy,
    ProbCover,
    Random,
    Typical,
    purchases,
)
from shoestring.models import NgramClassifier

SEEDS, BUCKETS = 5, 2048
KINDS = (
    Margin,
    Random,
    Badge,
    LeastConfident,
    Typical,
    KCentre,
    PredictiveEntropy,
    ProbCover,
    Bald,
)


class Hashed(nn.Module):
    """The network of TREC with ids of n-grams in so many buckets: it trains in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = NgramClassifier(BUCKETS, 6, width=16, dropout=0.2)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids N×T (0: padding) to logits N×6."""
        return self.inner(torch.where(ids > 0, 1 + ids % (BUCKETS - 1), ids))


@dataclass(frozen=True)
class Tried:
    """A data set, the techniques that are tried on it, and how often each replays."""

    labelled: Labelled
    kinds: tuple[Any, ...]
    replays: int


USED = {
    "digits": Tried(SETS["digits"], KINDS, 3),
    "TREC": Tried(replace(SETS["TREC"], network=Hashed, labels=500, rounds=4), KINDS[:5], 1),
}


@dataclass(frozen=True, eq=False)
class Again(View):
    """A task whose labels that were bought are for sale again, and nothing else is.

    `known_before`: the indices with a label before they were bought.
    """

    _task: Task
    known_before: tuple[int, ...]
    bought_again: tuple[int, ...] = ()

    def loss(self, model: Any, batch: Any) -> Any:
        return self._now().loss(model, batch)

    def _now(self) -> LabelTask:
        inner = label_task(self._task)
        rows = np.array([*self.known_before, *self.bought_again])
        return inner.with_labels(inner.labels(rows), None, rows)

    def batches(self, split: str, *, model: Any = None) -> Any:
        return self._now().batches(split, model=model)

    def known(self) -> Any:
        return np.array([*self.known_before, *self.bought_again])

    def pool(self) -> Any:
        taken = {*self.known_before, *self.bought_again}
        every = label_task(self._task).known()
        return np.array(sorted(int(one) for one in every if int(one) not in taken))

    def left(self) -> int | None:
        return len(self.pool())

    def buy(self, indices: Any) -> Again:
        return replace(self, bought_again=(*self.bought_again, *map(int, indices)))


def replayed(tried: Tried, before: Any, now: Any, seed: int) -> dict[str, float]:
    """The mean validation score of each technique on labels that were bought."""
    one = tried.labelled
    known = tuple(int(index) for index in label_task(before).known())
    bought, rounds = one.labels // 4, max(one.rounds // 2, 1)
    found = {}
    for kind in tried.kinds:
        means = []
        for again in range(tried.replays):
            made = kind(labels=bought, rounds=rounds, training=one.training)
            with seeded(1000 * seed + again):
                curve = [
                    score(now, model, "validation")
                    for model, _ in purchases(made, one.network(), Again(now, known))
                ]
            means.append(mean(curve[1:]))
        found[kind.__name__] = mean(means)
    return found


def bought_by(kind: Any, one: Any, model: Any, task: Any, labels: int, rounds: int) -> Any:
    """(the scores on test data after each round, the task at the end)."""
    made = kind(labels=labels, rounds=rounds, training=one.training)
    scores, tasks = [], [task]
    for learner, now in purchases(made, model, task.sealed()):
        scores.append(score(task, learner, "test"))
        tasks.append(now)
    return scores[1:], tasks[-1]


def main() -> None:
    rows = start("label_replay", "digits-trec-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for name, tried in [*USED.items()][: 1 if rows.quick else None]:
        one, kinds = tried.labelled, tried.kinds
        whole = one.task()
        for seed in range(1 if rows.quick else SEEDS):
            if rows.done(name, seed):
                continue
            task = start_of(one, whole, seed)
            with seeded(seed):
                network = one.network()
            half, rounds = one.labels // 2, one.rounds // 2
            with seeded(seed):
                _, now = bought_by(Margin, one, network, task, half, rounds)
            unsealed = task.buy([int(index) for index in now.known() if index < len(task.pool())])
            found = replayed(tried, task, unsealed, seed)
            chosen = max(found, key=lambda way: found[way])
            second: dict[str, list[float]] = {}
            for kind in kinds:
                with seeded(seed):
                    second[kind.__name__], _ = bought_by(
                        kind, one, network, unsealed, one.labels - half, rounds
                    )
            for way in found:
                rows.add(name, f"replayed, {way}", round(100 * found[way], 3), "% validation", seed)
                rows.add(name, f"then, {way}", round(100 * mean(second[way]), 3), "% test", seed)
                rows.add(
                    name, f"at the end, {way}", round(100 * second[way][-1], 3), "% test", seed
                )
            rows.add(name, f"chosen, {chosen}", 1, "", seed)
            rows.add(name, "done", 1, "", seed)
    rows.close()


if __name__ == "__main__":
    main()
