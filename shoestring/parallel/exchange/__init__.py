"""What workers send of their gradients, and how many bytes that is."""

from shoestring.parallel.exchange.eight_bits import DynamicTree, EightBits, LinearLevels
from shoestring.parallel.exchange.one_bit import OneBit
from shoestring.parallel.exchange.plain import BFloat16Gradients, SinglePrecision
from shoestring.parallel.exchange.power_sgd import PowerSGD
from shoestring.parallel.exchange.protocols import (
    GradientCoder,
    GradientExchange,
    WorkerGroup,
)
from shoestring.parallel.exchange.sparse import RandomK, TopK
from shoestring.parallel.exchange.traffic import WIRES, Traffic, Wire, traffic

__all__ = [
    "WIRES",
    "BFloat16Gradients",
    "DynamicTree",
    "EightBits",
    "GradientCoder",
    "GradientExchange",
    "LinearLevels",
    "OneBit",
    "PowerSGD",
    "RandomK",
    "SinglePrecision",
    "TopK",
    "Traffic",
    "Wire",
    "WorkerGroup",
    "traffic",
]
