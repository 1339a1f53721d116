"""When to stop labelling: answers that no longer change, or a gain too small to pay for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from shoestring.label.forecast import LabelForecast
from shoestring.label.kappa import kappa


@final
@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether to stop labelling.

    `stop`: whether.
    `why`: the reason, as a sentence.
    """

    stop: bool
    why: str


def stabilised(answers: Sequence[Any], *, agreement: float = 0.99, looks: int = 3) -> Verdict:
    """Stop where the answers of the models of successive rounds agree.

    Agreement is Cohen's kappa of the classes that two successive models give the same unlabelled
    examples (the stop set; a thousand or more, drawn once). The mean of the last `looks` counts. It
    needs no labels, and says nothing about how good the answers are. Models that give all examples
    one class agree whatever they learned: then it does not stop.

    Source: Bloodgood & Vijay-Shanker 2009, "A method for stopping active learning based on
    stabilizing predictions and the need for user-adjustable stopping", section 4 (0.99, 3 looks).

    `answers`: the classes of the stop set by the model of each round, in order: integers N each.
    `agreement`: the least mean kappa, above 0 and at most 1.
    `looks`: how many kappas are averaged, 1 or more.

    Raises ValueError for answers of different lengths, of none, and numbers out of range.
    """
    if not 0 < agreement <= 1 or isinstance(looks, bool) or not isinstance(looks, int) or looks < 1:
        raise ValueError(
            f"agreement={agreement!r}, looks={looks!r}: give a kappa above 0, at most 1, and an "
            "integer, 1 or more"
        )
    rows = [np.asarray(one).reshape(-1) for one in answers]
    if rows and (len({len(one) for one in rows}) > 1 or not len(rows[0])):
        raise ValueError(
            f"answers for {sorted({len(one) for one in rows})} examples: ask each model about the "
            "same examples, one or more"
        )
    if len(rows) <= looks:
        return Verdict(
            stop=False, why=f"{len(rows)} rounds are too few: it takes {looks + 1} to compare"
        )
    last = rows[-looks - 1 :]
    if constant := [row for row in last if (row == row[0]).all()]:
        return Verdict(
            stop=False,
            why=f"{len(constant)} of the last {len(last)} models give all examples one class: "
            "their agreement says nothing. Label more, or ask about more examples",
        )
    mean = float(np.mean([_agreement(one, two) for one, two in pairwise(last)]))
    words = f"the answers of successive rounds agree with a kappa of {mean:.3f}"
    if mean >= agreement:
        return Verdict(stop=True, why=f"{words}, at least {agreement:g}")
    return Verdict(stop=False, why=f"{words}, below {agreement:g}")


def _agreement(first_N: np.ndarray, second_N: np.ndarray) -> float:
    """Cohen's kappa; 1 where both models always give one and the same class: nothing changed."""
    value, _, _ = kappa(first_N.tolist(), second_N.tolist())
    return 1.0 if value is None else value


def little_to_gain(forecast: LabelForecast, *, labels: float = 100, points: float = 0.5) -> Verdict:
    """Stop where so many more labels will hardly add so many points.

    It stops where even the high end of the 80 % interval of the gain is below `points`. Of a curve
    that falls it says so, and does not stop: no form of curve fits it.

    `forecast`: of the curve so far.
    `labels`: how many more are in question, above 0.
    `points`: hundredths of the score that they must be able to add, above 0.

    Raises ValueError for numbers out of range.
    """
    if not 0 < points < math.inf:
        raise ValueError(f"points={points}: give how many points must be gained, above 0")
    gain = forecast.gain(labels)
    assert gain.low is not None and gain.middle is not None and gain.high is not None
    words = (
        f"{labels:,.0f} more labels will add {100 * gain.middle:.2f} points "
        f"({100 * gain.low:.2f} to {100 * gain.high:.2f})"
    )
    if falls := forecast.falls():
        return Verdict(stop=False, why=falls)
    if 100 * gain.high < points:
        return Verdict(stop=True, why=f"{words}, less than {points:g}")
    return Verdict(stop=False, why=f"{words}, which may be {points:g} or more")
