"""Many workers train one model: who waits for whom, and what a late gradient is worth."""

from shoestring.parallel.late_gradients import (
    AdaptivelyCompensated,
    AsItComes,
    ByStaleness,
    DelayCompensated,
    LateGradients,
)
from shoestring.parallel.simulated import SimulatedAsynchronous, SimulatedSynchronous
from shoestring.parallel.step_times import StepTimes

__all__ = [
    "AdaptivelyCompensated",
    "AsItComes",
    "ByStaleness",
    "DelayCompensated",
    "LateGradients",
    "SimulatedAsynchronous",
    "SimulatedSynchronous",
    "StepTimes",
]
