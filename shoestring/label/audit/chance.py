"""Whether predictions know anything of the labels, or agree with them by chance only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

SURE = 0.001
"""Agreement that luck would give more often than this is no better than chance.

The folds of a cross-validation share their training examples, so that agreement varies more than
the formula says (with labels of a coin by 1.15 of its deviation, in 80 draws): hence not 0.01.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How often predictions agree with labels, beside what chance gives.

    `value`: the share of examples on which they agree, 0 to 1.
    `expected`: that of predictions with the same shares of classes which know nothing of the
        example, 0 to 1; for a single class always predicted it is `value`.
    `majority`: that of always predicting the commonest label, 0 to 1.
    `chance`: of agreeing so often or more by luck, 0 to 1.
    """

    value: float
    expected: float
    majority: float
    chance: float

    @property
    def is_by_chance(self) -> bool:
        """Whether nothing says that the predictions know more than chance does."""
        return not self.chance < SURE


def agreement(predictions: Any, labels: Any) -> Agreement:
    """How often predictions agree with labels, and whether chance explains it.

    `predictions`, `labels`: N integers from 0, of examples that the model was not trained on; count
        copies of one example once, as they agree together.

    Source: Cohen 1960 for the agreement by chance; Fleiss, Cohen & Everitt 1969, "Large sample
    standard errors of kappa and weighted kappa", for its variance where both are unrelated; the
    test is one-sided, with the normal distribution.
    Raises ValueError for lengths that differ and for no example.
    """
    from scipy.stats import norm

    said, given = np.asarray(predictions), np.asarray(labels)
    if said.shape != given.shape or said.ndim != 1 or not said.size:
        raise ValueError(
            f"there are {said.size} predictions and {given.size} labels: give one of each for "
            "every example, at least one"
        )
    count, classes = len(said), int(max(said.max(), given.max())) + 1
    of_said = np.bincount(said, minlength=classes) / count
    of_given = np.bincount(given, minlength=classes) / count
    both = of_said * of_given
    expected = float(both.sum())
    variance = (expected + expected**2 - float((both * (of_said + of_given)).sum())) / count
    value = float((said == given).mean())
    # A constant prediction has no variance: its agreement is exactly what chance gives.
    chance = 1.0 if variance <= 1e-15 else float(norm.sf((value - expected) / variance**0.5))
    return Agreement(value=value, expected=expected, majority=float(of_given.max()), chance=chance)
