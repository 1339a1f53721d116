"""The influence of suspects on the score: trained with them and without."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import nn

from shoestring.core import LabelTask, Task, label_task, score, seeded
from shoestring.kit import Training, clone, resuming, train


@final
@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference of scores over seeds, paired, with its interval.

    `mean`: of the score, higher is better.
    `low`, `high`: of the 95 % interval (Student's t); infinite for a single seed.
    """

    mean: float
    low: float
    high: float


@final
@dataclass(frozen=True, kw_only=True)
class Influence:
    """What leaving suspects out does to the validation score.

    `suspects`: how many were left out.
    `with_all`, `without`, `without_random`: the validation scores, one for each seed: with all
        examples, without the suspects, and without as many others, chosen at random.
    `against_all`: of leaving the suspects out, against all examples.
    `against_random`: of leaving the suspects out, against leaving out as many others.
    """

    suspects: int
    with_all: tuple[float, ...]
    without: tuple[float, ...]
    without_random: tuple[float, ...]
    against_all: Difference
    against_random: Difference

    @property
    def verdict(self) -> str:
        """One sentence."""
        by = f"{100 * self.against_all.mean:+.2f} points ({_interval(self.against_all)})"
        if self.against_all.low > 0:
            return f"the score is better without the suspects: {by}"
        if self.against_all.high < 0:
            return f"the score is worse without the suspects, which carry information: {by}"
        return f"no difference is sure: {by}; give more seeds to see a smaller one"


def influence(
    model: nn.Module,
    task: Task,
    training: Training,
    suspects: Any,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    folder: str | Path | None = None,
) -> Influence:
    """Train with all examples, without the suspects and without as many others, and compare.

    The validation split is scored as it is: where its labels are wrong too, the score sees less of
    what cleaning gains. Costs three trainings for each seed; each has the same number of steps.

    `model`: where each training begins; untrained.
    `task`: one whose labels can be changed (`LabelTask`).
    `suspects`: indices of the "train" split; some, and not all.
    `seeds`: of the order of the examples and of what is left out at random.
    `folder`: where snapshots are kept; a killed run goes on from them. None: nothing is kept.

    Raises ValueError for no suspects, for indices that the split does not have, and where fewer
    than half of the examples would be left.
    """
    labelled = label_task(task.sealed())
    known = np.asarray(labelled.known())
    out = np.unique(np.asarray(suspects, dtype=np.int64))
    if not len(out) or not np.isin(out, known).all():
        raise ValueError(
            f"{len(out)} suspects were given, of which {int((~np.isin(out, known)).sum())} are not "
            "in the training split: give indices that known() has, at least one"
        )
    if len(out) > len(known) / 2:
        raise ValueError(
            f"{len(out)} of {len(known)} examples are suspects: the rest is too few to compare "
            "with; give half at most, the worst first"
        )
    scores: dict[str, list[float]] = {"all": [], "without": [], "random": []}
    with resuming(folder) if folder is not None else nullcontext():
        for seed in seeds:
            chance = np.random.default_rng(seed).permutation(np.setdiff1d(known, out))[: len(out)]
            left_out = {"all": known[:0], "without": out, "random": chance}
            for name, indices in left_out.items():
                kept = known[~np.isin(known, indices)]
                scores[name].append(_scored(model, labelled, training, kept, seed, name))
    every, without, random = (np.array(scores[name]) for name in ("all", "without", "random"))
    return Influence(
        suspects=len(out),
        with_all=tuple(every.tolist()),
        without=tuple(without.tolist()),
        without_random=tuple(random.tolist()),
        against_all=difference(without - every),
        against_random=difference(without - random),
    )


def difference(pairs: np.ndarray) -> Difference:
    """The mean of paired differences, with its 95 % interval (Student's t)."""
    from scipy.stats import t

    mean = float(pairs.mean())
    if len(pairs) < 2:
        return Difference(mean=mean, low=-np.inf, high=np.inf)
    half = float(t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / len(pairs) ** 0.5)
    return Difference(mean=mean, low=mean - half, high=mean + half)


def _scored(
    model: nn.Module, task: LabelTask, training: Training, kept: np.ndarray, seed: int, name: str
) -> float:
    part = task.with_labels(task.labels(kept), indices=kept)
    with seeded(seed):
        trained = train(
            clone(model), part, training, what=f"{name}, seed {seed}", key=f"{name}, seed {seed}"
        )
    return float(score(part, trained))


def _interval(one: Difference) -> str:
    return f"95 %: {100 * one.low:+.2f} to {100 * one.high:+.2f}"
