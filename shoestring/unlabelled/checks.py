"""Checks of settings that several techniques have."""

from __future__ import annotations

import math


def check_share(what: str, value: float) -> None:
    """Raise ValueError for a value that is not from 0 to 1; `what` it is, in words."""
    if not 0 <= value <= 1:
        raise ValueError(f"{what} is {value!r}: give a number from 0 to 1")


def check_weight(value: float) -> None:
    """Raise ValueError for a weight of the unlabelled examples that is below 0 or not finite."""
    if not 0 <= value < math.inf:
        raise ValueError(f"the weight of unlabelled examples is {value!r}: give 0 or more")


def check_count(what: str, value: int, *, least: int = 1) -> None:
    """Raise ValueError for a value that is not an integer of `least` or more; `what` it is."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{what} is {value!r}: give an integer, {least} or more")
