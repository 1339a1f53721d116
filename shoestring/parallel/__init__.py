"""Many workers train one model: who waits for whom, and what a late gradient is worth."""

from shoestring.parallel.all_reduced import AllReduced
from shoestring.parallel.asynchronous import Asynchronous
from shoestring.parallel.crew import LostWorkerWarning, WorkersError
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
    "AdaptivelyCompensated",
    "AllReduced",
    "AsItComes",
    "Asynchronous",
    "ByStaleness",
    "DelayCompensated",
    "ElasticAveraging",
    "LateGradients",
    "Listening",
    "LocalSGD",
    "LostWorkerWarning",
    "SimulatedAsynchronous",
    "SimulatedSynchronous",
    "StepTimes",
    "Synchronous",
    "WorkersError",
    "join",
    "workers_on_ray",
]
