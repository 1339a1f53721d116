"""Many workers train one model: who waits, what they send, and what a late gradient is worth."""

from shoestring.parallel.exchange import (
    WIRES,
    BFloat16Gradients,
    DynamicTree,
    EightBits,
    GradientCoder,
    GradientExchange,
    LinearLevels,
    OneBit,
    PowerSGD,
    RandomK,
    SinglePrecision,
    TopK,
    Traffic,
    Wire,
    WorkerGroup,
    traffic,
)
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
    "WIRES",
    "AdaptivelyCompensated",
    "AsItComes",
    "BFloat16Gradients",
    "ByStaleness",
    "DelayCompensated",
    "DynamicTree",
    "EightBits",
    "GradientCoder",
    "GradientExchange",
    "LateGradients",
    "LinearLevels",
    "OneBit",
    "PowerSGD",
    "RandomK",
    "SimulatedAsynchronous",
    "SimulatedSynchronous",
    "SinglePrecision",
    "StepTimes",
    "TopK",
    "Traffic",
    "Wire",
    "WorkerGroup",
    "traffic",
]
