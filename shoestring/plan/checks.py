"""What is checked of a budget before a search begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from shoestring.core import Budget, BudgetError, Gauge
from shoestring.core.resource import LIMITED
from shoestring.kit import compressible
from shoestring.meters import default_meters
from shoestring.plan.verdict import HAVING

COUNTED = ("time", "labels")
"""The limits on costs of getting a model that a search keeps."""
MINUTES = 10.0
"""Minutes that a search takes where nobody says."""


def of_having(budget: Budget) -> Budget:
    """The limits of a budget on the model and its score, without those on getting it."""
    return replace(budget, **dict.fromkeys(COUNTED))


def seconds_of(limits: Budget, minutes: float | None) -> float:
    """The seconds that a search may take; raises BudgetError where these are not above 0."""
    seconds = limits.time
    if seconds is None:
        seconds = 60 * (MINUTES if minutes is None else minutes)
    if not seconds > 0:
        raise BudgetError(f"the time is {seconds:g} s: give more than 0")
    return float(seconds)


def checked_limits(budget: str | Budget, model: nn.Module) -> Budget:
    """The limits that a search can keep on this model; raises BudgetError or ValueError."""
    if isinstance(budget, Budget):
        limits = budget
    else:
        limits = Budget.parse(budget) if budget.strip() else Budget()
    for name, resource in LIMITED.items():
        if resource.getting and name not in COUNTED and getattr(limits, name) is not None:
            raise BudgetError(
                f"compress does not count {resource.about}: leave {name} out of the budget"
            )
    if not list(compressible(model, "compress")):
        raise ValueError(
            "the model has no weight with two axes or more: there is nothing to compress"
        )
    return limits


def checked_meters(limits: Budget, meters: Sequence[Gauge] | None) -> list[Gauge]:
    """The meters for these limits; raises BudgetError where a limit cannot be measured."""
    meters = list(default_meters(limits) if meters is None else meters)
    measured = {meter.measures for meter in meters}
    for name, resource in HAVING.items():
        limited = name != "size" and getattr(limits, name) is not None
        if limited and resource.field not in measured:
            raise BudgetError(
                f"the budget limits {name}, and no meter that was given measures it: add one, or "
                "leave meters out"
            )
    for meter in meters:
        if why := meter.why_not():
            limit = next(
                name for name, resource in HAVING.items() if resource.field == meter.measures
            )
            raise BudgetError(
                f"the budget limits {limit}, and that cannot be measured here: {why}. Leave "
                f"{limit} out of the budget"
            )
    return meters


def remark_on_drop(drop: float | None, score: float) -> str:
    """What to say of a drop of 1 or more where the score looks like a share; "" otherwise."""
    if drop is None or drop < 1 or not 0 <= score <= 1:
        return ""
    return (
        f"drop<={drop:g} allows any score, if scores here are from 0 to 1 as this one is "
        f"({score:.4f}): points are written drop<={drop:g}%"
    )
