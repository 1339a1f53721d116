"""What the labels that a search bought have brought."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.core import Task, evaluating, score, seeded


class Best(StrEnum):
    """Which of the models around a purchase has the highest validation score."""

    CAME_IN = "the model that came in"
    BEFORE = "the model trained on the labels that came with the task"
    AFTER = "the model trained on all labels"


@dataclass(frozen=True, kw_only=True)
class Bought:
    """The labels that a search bought, and what they brought on validation data.

    `labels`: how many the search uses of those it bought; `fresh` of them were bought in this run.
    `known`: how many labels came with the task.
    `by`: what chose them, in words.
    `score_came_in`: of the model that came in.
    `score_before`: after the same training, on the labels that came with the task; None without.
    `score_after`: after that training on all labels. None where none was bought.
    `error`: the standard error of the gain; None where the task tells none.
    `waited`: seconds that the answers took, which do not count as time of the search.
    `digest`: of the labels.
    """

    labels: int
    fresh: int = 0
    known: int = 0
    by: str = ""
    score_came_in: float | None = None
    score_before: float | None = None
    score_after: float | None = None
    error: float | None = None
    waited: float = 0.0
    digest: str = ""

    @property
    def gain(self) -> float | None:
        """What the labels brought to the score, against what was there before.

        That is the better of the model that came in and the same training without them. None where
        nothing was bought.
        """
        if self.score_after is None or self.score_came_in is None:
            return None
        before = [self.score_came_in, *([] if self.score_before is None else [self.score_before])]
        return self.score_after - max(before)

    @property
    def is_told(self) -> bool:
        """Whether the gain differs from none, by more than two standard errors.

        True where no standard error is known.
        """
        return self.gain is not None and (self.error is None or abs(self.gain) > 2 * self.error)

    @property
    def best(self) -> Best:
        """Which model scores highest, and is compressed; of equal ones that with more labels."""
        scores = {
            Best.AFTER: self.score_after,
            Best.BEFORE: self.score_before,
            Best.CAME_IN: self.score_came_in,
        }
        known = {one: value for one, value in scores.items() if value is not None}
        return max(known, key=lambda one: known[one], default=Best.CAME_IN)

    def __str__(self) -> str:
        if self.score_after is None or self.score_came_in is None or self.gain is None:
            return "no label was bought"
        without = ""
        if self.score_before is not None:
            without = f"; {self.score_before:.4f} with the {self.known:,} that came with the task"
        scores = (self.score_came_in, self.score_before or 0.0, self.score_after)
        in_points = all(0 <= one <= 1 for one in scores)
        times, unit = (100, " points") if in_points else (1, "")
        within = "" if self.error is None else f" ± {2 * times * self.error:.2f}"
        rate = (
            f"{times * self.gain / self.labels:+.3g}{unit} a label"
            if self.is_told
            else "no difference that can be told, so what a label is worth is not known"
        )
        told = (
            f"{self.labels:,} labels bought, {self.by}: validation score {self.score_after:.4f}, "
            f"and {self.score_came_in:.4f} as the model came in{without}: "
            f"{times * self.gain:+.2f}{within}{unit}, {rate}"
        )
        if self.best is not Best.AFTER:
            told += f"; {self.best} is compressed, since it scores highest"
        return told

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        gain = self.gain
        rate = None if gain is None else gain / self.labels
        more = {"gain": gain, "gain_a_label": rate, "is_told": self.is_told, "best": self.best}
        return {**asdict(self), **more}


def error_of_difference(task: Task, first: nn.Module, second: nn.Module) -> float | None:
    """The standard error of the difference of two validation scores.

    It is that of the paired merits where the task has them and the score is their mean; else both
    standard errors count as independent. None where the task tells neither.
    """
    merits = [_merits(task, model) for model in (first, second)]
    one, other = merits
    if one is not None and other is not None and len(one) == len(other) > 1:
        return float(np.std(other - one, ddof=1) / math.sqrt(len(one)))
    errors = []
    for model in (first, second):
        with evaluating(model), torch.no_grad(), seeded(0):
            errors.append(task.standard_error(model, "validation"))
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if len(known) == 2 else None


def _merits(task: Task, model: nn.Module) -> np.ndarray | None:
    """The merit of each validation example; None where the score is not their mean."""
    with evaluating(model), torch.no_grad(), seeded(0):
        merits = task.merits(model, "validation")
    if merits is None:
        return None
    values = np.asarray(merits, dtype=np.float64)
    is_mean = math.isclose(float(values.mean()), score(task, model), abs_tol=1e-6)
    return values if is_mean else None
