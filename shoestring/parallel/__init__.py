"""Many workers train one model: who waits for whom, and what a late gradient is worth."""

from shoestring.parallel.gradient_health import GradientHealth, GradientNoise, gradient_health
from shoestring.parallel.large_batches import scaled_to_batch
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
    "GradientHealth",
    "GradientNoise",
    "LateGradients",
    "SimulatedAsynchronous",
    "SimulatedSynchronous",
    "StepTimes",
    "gradient_health",
    "scaled_to_batch",
]
