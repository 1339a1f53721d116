"""Many workers train one model: who waits, what they send, and what a late gradient is worth."""

from shoestring.parallel.all_reduced import AllReduced
from shoestring.parallel.asynchronous import Asynchronous
from shoestring.parallel.crew import LostWorkerWarning, WorkersError
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
from shoestring.parallel.joining import Listening
from shoestring.parallel.late_gradients import (
    AdaptivelyCompensated,
    AsItComes,
    ByStaleness,
    DelayCompensated,
    LateGradients,
)
from shoestring.parallel.local_steps import ElasticAveraging, LocalSGD
from shoestring.parallel.on_ray import workers_on_ray
from shoestring.parallel.remote import join
from shoestring.parallel.simulated import SimulatedAsynchronous, SimulatedSynchronous
from shoestring.parallel.step_times import StepTimes
from shoestring.parallel.synchronous import Synchronous

__all__ = [
    "WIRES",
    "AdaptivelyCompensated",
    "AllReduced",
    "AsItComes",
    "Asynchronous",
    "BFloat16Gradients",
    "ByStaleness",
    "DelayCompensated",
    "DynamicTree",
    "EightBits",
    "ElasticAveraging",
    "GradientCoder",
    "GradientExchange",
    "LateGradients",
    "LinearLevels",
    "Listening",
    "LocalSGD",
    "LostWorkerWarning",
    "OneBit",
    "PowerSGD",
    "RandomK",
    "SimulatedAsynchronous",
    "SimulatedSynchronous",
    "SinglePrecision",
    "StepTimes",
    "Synchronous",
    "TopK",
    "Traffic",
    "Wire",
    "WorkerGroup",
    "WorkersError",
    "join",
    "traffic",
    "workers_on_ray",
]
