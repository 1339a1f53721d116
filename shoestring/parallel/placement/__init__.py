"""Layers of a model on unequal devices, so that one example takes least."""

from shoestring.parallel.placement.costs import layer_costs
from shoestring.parallel.placement.devices import Device, Link, PlacementProblem
from shoestring.parallel.placement.layers import LayerCost, LayerGraph
from shoestring.parallel.placement.method import (
    BalancedParts,
    OneDevice,
    PlacementMethod,
    RandomPlacements,
)
from shoestring.parallel.placement.parts import PlacedPart
from shoestring.parallel.placement.placing import DoesNotFitError, Placement, place
from shoestring.parallel.placement.policy_gradient import PolicyGradient
from shoestring.parallel.placement.schedule import Schedule, simulated_run
from shoestring.parallel.placement.searches import (
    BranchAndBound,
    DynamicProgramming,
    EarliestEnd,
)

__all__ = [
    "BalancedParts",
    "BranchAndBound",
    "Device",
    "DoesNotFitError",
    "DynamicProgramming",
    "EarliestEnd",
    "LayerCost",
    "LayerGraph",
    "Link",
    "OneDevice",
    "PlacedPart",
    "Placement",
    "PlacementMethod",
    "PlacementProblem",
    "PolicyGradient",
    "RandomPlacements",
    "Schedule",
    "layer_costs",
    "place",
    "simulated_run",
]
