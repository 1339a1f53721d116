"""scikit-activeml's choices on digits, in the loop and with the networks of `active_learning.py`.

`python benchmarks/active_learning_peers.py`: some minutes on one core, in an environment that has
scikit-activeml (1.0). It gets the probabilities and the features that our techniques get, and the
same seeds, starts and trainings.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from active_learning import SEEDS, curve_rows
from active_learning_sets import SETS
from rows import start
from skactiveml.pool import (  # pyright: ignore[reportMissingImports]  # of its own environment
    CoreSet,
    ProbCover,
    TypiClust,
    uncertainty_scores,
)

from shoestring.core.labels import label_task
from shoestring.kit import Training
from shoestring.label import Equal
from shoestring.label.choosing.answers import answers
from shoestring.label.choosing.spread import seed
from shoestring.label.choosing.states import states


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A choice of scikit-activeml, as the loop takes it.

    `query`: from (probabilities of the pool, features of pool and known, labels with NaN for those
        of the pool, the pool's size, how many) to their numbers.
    """

    query: Any
    labels: int = 1
    rounds: int = 1
    training: Training = Training()
    prices: Equal = Equal()

    def choose(self, model: Any, task: Any, count: int) -> np.ndarray:
        """The next `count` indices."""
        sold = label_task(task)
        pool, known = sold.pool(), sold.known()
        said = torch.cat([one.probabilities_PC for one in answers(model, sold, pool)]).numpy()
        points = states(model, sold, np.concatenate([pool, known])).numpy()
        labels = np.concatenate([np.full(len(pool), np.nan), sold.labels(known).numpy()])
        return pool[self.query(said, points, labels, len(pool), count)]


def _margin(said: Any, points: Any, labels: Any, pool: int, count: int) -> Any:
    return np.argsort(-uncertainty_scores(said, method="margin_sampling"), kind="stable")[:count]


def _asking(strategy: Any, prepared: Callable[[Any], Any] = lambda points: points) -> Any:
    """A query of a strategy; `prepared`: what is done to the features first."""

    def query(said: Any, points: Any, labels: Any, pool: int, count: int) -> Any:
        points, asked = prepared(points), strategy(random_state=seed() % 2**31)
        return asked.query(points, labels, candidates=np.arange(pool), batch_size=count)

    return query


def _length_1(points: Any) -> Any:
    return points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-9)


PEERS = {
    "scikit-activeml, margin": Peer(query=_margin),
    "scikit-activeml, CoreSet": Peer(query=_asking(CoreSet)),
    "scikit-activeml, TypiClust": Peer(query=_asking(TypiClust)),
    "scikit-activeml, ProbCover": Peer(query=_asking(ProbCover)),
    "scikit-activeml, TypiClust, features of length 1": Peer(query=_asking(TypiClust, _length_1)),
    "scikit-activeml, ProbCover, features of length 1": Peer(query=_asking(ProbCover, _length_1)),
}


def main() -> None:
    rows = start("active_learning_peers", "digits-cpu", __doc__ or "")
    torch.set_num_threads(1)
    one = SETS["digits"]
    whole = one.task()
    for number in range(2 if rows.quick else SEEDS):
        for way, peer in PEERS.items():
            subject = f"digits, {way}"
            if rows.wanted(subject) and not rows.done(subject, number):
                curve_rows(rows, subject, replace(peer), one, whole, number)
    rows.close()


if __name__ == "__main__":
    main()
