"""Curve: scores against one cost of getting a model, and the saving of one curve over another."""

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
"""One point of a curve: the technique, the model that it starts from, and the task."""


@final
@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores against a cost, for several seeds.

    `resource`: the field of Cost, such as "labels".
    `costs`, `scores`: a row for each seed, with a number for each point; costs are in ascending
        order.

    Raises ValueError for empty rows, rows of different lengths and costs that are not ascending.
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
        """The highest score that every seed reaches at some point."""
        return min(map(max, self.scores))

    def needed(self, score: float) -> tuple[float | None, ...]:
        """The least cost at which each seed reaches a score, interpolated linearly between points.

        None for a seed that never reaches it.
        """
        return tuple(_crossing(*rows, score) for rows in zip(self.costs, self.scores, strict=True))


def _crossing(costs: Sequence[float], scores: Sequence[float], score: float) -> float | None:
    for index, (cost, value) in enumerate(zip(costs, scores, strict=True)):
        if value < score:
            continue
        if index == 0:
            return cost
        before, low = costs[index - 1], scores[index - 1]
        return before + (cost - before) * (score - low) / (value - low)
    return None


@final
@dataclass(frozen=True, kw_only=True)
class Saving:
    """The costs of two methods at one score.

    `resource`: the field of Cost.
    `score`: the score that both should reach.
    `ours`, `baseline`: the cost for each seed; None where the seed never reached the score.
    """

    resource: str
    score: float
    ours: tuple[float | None, ...]
    baseline: tuple[float | None, ...]

    @property
    def share(self) -> float | None:
        """Our mean cost over seeds, divided by the baseline's: a saving where it is below 1.

        None where a seed never reached the score.
        """
        ours, baseline = (
            [cost for cost in row if cost is not None] for row in (self.ours, self.baseline)
        )
        if len(ours) < len(self.ours) or len(baseline) < len(self.baseline):
            return None
        return fmean(ours) / fmean(baseline)

    @property
    def wins(self) -> int:
        """For how many seeds our cost is below the baseline's with the same seed."""
        pairs = zip(self.ours, self.baseline, strict=True)
        return sum(cost is not None and (base is None or cost < base) for cost, base in pairs)

    def __str__(self) -> str:
        ours, baseline = (
            ", ".join("never" if cost is None else f"{cost:.4g}" for cost in row)
            for row in (self.ours, self.baseline)
        )
        return (
            f"a score of {self.score:.4f} with {self.resource.replace('_', ' ')} {ours}, in place "
            f"of {baseline} (one number a seed)"
        )


def saving(ours: Curve, baseline: Curve) -> Saving:
    """The saving at the highest score that the baseline reaches with every seed.

    Raises ValueError for curves of different resources or numbers of seeds.
    """
    if ours.resource != baseline.resource or len(ours.costs) != len(baseline.costs):
        raise ValueError(
            f"curves of {ours.resource} ({len(ours.costs)} seeds) and {baseline.resource} "
            f"({len(baseline.costs)} seeds) cannot be compared: measure the same with the same "
            "seeds"
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
    """Apply the techniques of `runs(seed)` for each seed, and read each cost from the ledger.

    `runs`: from a seed to its points, in ascending order of cost.
    `resource`: a field of Cost; "labels" also counts the labels that the task came with.
    `seeds`: a row of the curve for each.
    `split`: what results are scored on.
    `ledger`: None for a temporary one.

    Raises ValueError where the cost of a step was not measured.
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
