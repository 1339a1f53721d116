"""What suspects do to the score: trained with them and without (leave-group-out retraining)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from torch import nn

from shoestring.core import LabelTask, Task, evaluating, label_task, score, seeded
from shoestring.core.merits import merits
from shoestring.kit import Training, clone, resuming, train


@final
@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference of scores over seeds, paired, with its interval.

    `mean`: of the score, higher is better.
    `low`, `high`: of the 95 % interval, which covers both the chance of the seeds and that of which
        examples are validated on; infinite for a single seed or example, and where the task tells
        neither the score of each example nor the standard error.
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
        examples, without the suspects, and without as many that were drawn at random from all.
    `against_all`: of leaving the suspects out, against all examples.
    `against_random`: of leaving the suspects out, against leaving out as many at random.
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
        points = 100 * self.against_all.mean
        side = "better" if points >= 0 else "worse"
        by = f"{abs(points):.2f} points {side} ({_interval(self.against_all)})"
        if self.against_all.low > 0:
            return f"without the suspects the score is {by}"
        if self.against_all.high < 0:
            return f"without the suspects the score is {by}: they carry information"
        if not np.isfinite(self.against_all.high):
            return (
                f"without the suspects the score was {by}, and no difference is sure: that needs "
                "two seeds, and a score of each example"
            )
        return (
            f"without the suspects the score was {by}, and no difference is sure: more validation "
            "examples and seeds would show a smaller one"
        )


def influence(
    model: nn.Module,
    task: Task,
    training: Training,
    suspects: Any,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    folder: str | Path | None = None,
) -> Influence:
    """Train with all examples, without the suspects and without as many at random, and compare.

    This is leave-group-out retraining. It is not an influence function, which estimates the effect
    of one example from gradients and trains nothing anew.

    Find the suspects without the validation labels: networks that learned from these flag what
    contradicts them, and then the score rises without the suspects even where labels are noise.
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
    found: dict[str, list[_Scored]] = {"all": [], "without": [], "random": []}
    with resuming(folder) if folder is not None else nullcontext():
        for seed in seeds:
            # From all examples, suspects too: without them this would be a cleaning in reverse.
            chance = np.random.default_rng(seed).permutation(known)[: len(out)]
            left_out = {"all": known[:0], "without": out, "random": chance}
            for name, indices in left_out.items():
                kept = known[~np.isin(known, indices)]
                found[name].append(_scored(model, labelled, training, kept, seed, name))
    every, without, random = (found[name] for name in ("all", "without", "random"))
    return Influence(
        suspects=len(out),
        with_all=tuple(one.score for one in every),
        without=tuple(one.score for one in without),
        without_random=tuple(one.score for one in random),
        against_all=_between(without, every),
        against_random=_between(without, random),
    )


def difference(gains: Any) -> Difference:
    """The mean of paired differences, with its 95 % interval over seeds and examples.

    The variance is that of the means of the seeds, divided by S, and that of the means of the
    examples, divided by N. The noise of single pairs is in both, so that the interval is a little
    too wide. The degrees of freedom are those of Satterthwaite.

    `gains`: S×N, of each seed and example.
    """
    table = np.asarray(gains, np.float64)
    examples = table.shape[1]
    if examples < 2:
        return Difference(mean=float(table.mean()), low=-np.inf, high=np.inf)
    sampled = float(table.mean(0).var(ddof=1) / examples)
    return _wide(table.mean(1), sampled, examples - 1)


def _wide(of_seeds: np.ndarray, sampled: float, free: float) -> Difference:
    """The difference of S seeds, widened by the variance that the choice of examples gives.

    `sampled`: that variance, of the mean; `free`: its degrees of freedom.
    """
    from scipy.stats import t

    mean, seeds = float(of_seeds.mean()), len(of_seeds)
    if seeds < 2:
        return Difference(mean=mean, low=-np.inf, high=np.inf)
    by_seed = float(of_seeds.var(ddof=1) / seeds)
    variance = by_seed + sampled
    if not variance:
        return Difference(mean=mean, low=mean, high=mean)
    degrees = variance**2 / (by_seed**2 / (seeds - 1) + sampled**2 / free)
    half = float(t.ppf(0.975, degrees) * variance**0.5)
    return Difference(mean=mean, low=mean - half, high=mean + half)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scored:
    """`merits`: of each validation example, N; None where the score is no mean over examples.

    `error`: the standard error of the score where there are no merits; NaN where the task tells
        none.
    """

    score: float
    merits: np.ndarray | None
    error: float = float("nan")


def _between(one: list[_Scored], other: list[_Scored]) -> Difference:
    tables = [each.merits for each in (*one, *other)]
    merited = [each for each in tables if each is not None]
    if len(merited) == len(tables):
        return difference(np.stack(merited[: len(one)]) - np.stack(merited[len(one) :]))
    gains = np.array([a.score - b.score for a, b in zip(one, other, strict=True)])
    # As if the two scores were independent, which is too wide: the examples are the same.
    sampled = float(np.mean([a.error**2 + b.error**2 for a, b in zip(one, other, strict=True)]))
    if np.isnan(sampled):
        return Difference(mean=float(gains.mean()), low=-np.inf, high=np.inf)
    return _wide(gains, sampled, np.inf)


def _scored(
    model: nn.Module, task: LabelTask, training: Training, kept: np.ndarray, seed: int, name: str
) -> _Scored:
    part = task.with_labels(task.labels(kept), indices=kept)
    with seeded(seed):
        trained = train(
            clone(model), part, training, what=f"{name}, seed {seed}", key=f"{name}, seed {seed}"
        )
    each = merits(part, trained)
    error = float("nan")
    if each is None:
        with evaluating(trained):
            told = part.standard_error(trained, "validation")
        error = float("nan") if told is None else told
    return _Scored(score=float(score(part, trained)), merits=each, error=error)


def _interval(one: Difference) -> str:
    return f"95 %: {100 * one.low:+.2f} to {100 * one.high:+.2f}"
