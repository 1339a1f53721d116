"""Curve: scores against one cost of getting a model, and what one curve saves against another at
equal score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, final

from shoestring.core.apply import apply
from shoestring.core.cost import Cost
from shoestring.core.ledger import Ledger
from shoestring.core.task import Task, score
from shoestring.core.technique import Technique

Run = tuple[Technique, Any, Task]
"""What makes one point: the technique, the model that it begins with, and the task."""


@final
@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores against a cost, seed by seed.

    `resource`: the field of Cost, such as "labels".
    `costs` and `scores`: a row per seed, in each the points with their costs in ascending order.
        Raises ValueError for rows that are empty, do not fit each other or fall.
    """

    resource: str
    costs: tuple[tuple[float, ...], ...]
    scores: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if (
            not self.costs
            or [len(row) for row in self.costs] != [len(row) for row in self.scores]
            or not all(self.costs)
        ):
            raise ValueError(
                "a curve needs a row of costs and a row of scores for each seed, with as many "
                "points in both, one at least"
            )
        for row in self.costs:
            if list(row) != sorted(row):
                raise ValueError(
                    f"the {self.resource} of a curve must rise from point to point, and are "
                    f"{list(row)}"
                )

    def reached(self) -> float:
        """The highest score that every seed reaches somewhere."""
        return min(map(max, self.scores))

    def needed(self, score: float) -> tuple[float | None, ...]:
        """Of each seed, the least cost at which the score is reached, along lines from point to
        point; None where it never is.
        """
        return tuple(_crossing(*rows, score) for rows in zip(self.costs, self.scores, strict=True))


def _crossing(costs: Sequence[float], scores: Sequence[float], score: float) -> float | None:
    for at, (cost, value) in enumerate(zip(costs, scores, strict=True)):
        if value < score:
            continue
        if at == 0:
            return cost
        before, low = costs[at - 1], scores[at - 1]
        return before + (cost - before) * (score - low) / (value - low)
    return None


@final
@dataclass(frozen=True, kw_only=True)
class Saving:
    """What two ways took to reach one score, seed by seed; None where a seed never reached it."""

    resource: str
    score: float
    ours: tuple[float | None, ...]
    baseline: tuple[float | None, ...]

    @property
    def share(self) -> float | None:
        """Ours as a share of the baseline's, of the means over seeds: below 1 saves.

        None where a seed never reached the score.
        """
        ours, baseline = (
            [one for one in row if one is not None] for row in (self.ours, self.baseline)
        )
        if len(ours) < len(self.ours) or len(baseline) < len(self.baseline):
            return None
        return fmean(ours) / fmean(baseline)

    @property
    def wins(self) -> int:
        """How many seeds took less than the baseline of the same seed."""
        pairs = zip(self.ours, self.baseline, strict=True)
        return sum(one is not None and (other is None or one < other) for one, other in pairs)

    def __str__(self) -> str:
        ours, baseline = (
            ", ".join("never" if one is None else f"{one:.4g}" for one in row)
            for row in (self.ours, self.baseline)
        )
        return (
            f"a score of {self.score:.4f} with {self.resource.replace('_', ' ')} {ours}, "
            f"in place of {baseline} (one number a seed)"
        )


def saving(ours: Curve, baseline: Curve) -> Saving:
    """At the highest score that the baseline reaches with every seed.

    Raises ValueError for curves of unlike costs or seeds.
    """
    if ours.resource != baseline.resource or len(ours.costs) != len(baseline.costs):
        raise ValueError(
            f"curves of {ours.resource} ({len(ours.costs)} seeds) and {baseline.resource} "
            f"({len(baseline.costs)} seeds) cannot be "
            "compared: measure the same with the same seeds"
        )
    level = baseline.reached()
    return Saving(
        resource=ours.resource,
        score=level,
        ours=ours.needed(level),
        baseline=baseline.needed(level),
    )


def curve(
    runs: Callable[[int], Iterable[Run]],
    *,
    resource: str,
    seeds: Sequence[int],
    split: str = "validation",
    ledger: Ledger | None = None,
) -> Curve:
    """Apply what `runs(seed)` gives, seed by seed, and read each cost off the ledger, which a
    temporary file stands in for where none is given.

    `runs(seed)`: the points, dearer ones later.
    `resource`: a field of Cost; "labels" counts those that the task came with too.
    `split`: what results are scored on. Raises ValueError where a step's cost was not measured.
    """
    with TemporaryDirectory() as folder:
        book = ledger or Ledger(Path(folder) / "ledger.sqlite")
        rows = [[_point(*run, resource, seed, split, book) for run in runs(seed)] for seed in seeds]
    return Curve(
        resource=resource,
        costs=tuple(tuple(cost for cost, _ in row) for row in rows),
        scores=tuple(tuple(value for _, value in row) for row in rows),
    )


def _point(
    technique: Technique,
    model: Any,
    task: Task,
    resource: str,
    seed: int,
    split: str,
    ledger: Ledger,
) -> tuple[float, float]:
    before, labelled = len(ledger.rows()), task.labelled()
    result = apply(technique, model, task, ledger=ledger, seed=seed)
    cost = Cost()
    for row in ledger.rows()[before:]:
        cost += row.cost_after
    amount = getattr(cost, resource)
    if resource == "labels" and labelled is not None:
        amount = (amount or 0) + len(labelled.known())
    if amount is None:
        raise ValueError(f"nobody measured the {resource} of {technique}: there is no curve of it")
    return amount, score(task, result, split)
