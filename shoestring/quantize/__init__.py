"""Quantization: fewer distinct values, which take fewer bits."""

import warnings
from typing import Any

from shoestring.quantize.bfloat16 import BFloat16
from shoestring.quantize.binary import Binary
from shoestring.quantize.binary_layers import Real, ScaledSigns, Signs
from shoestring.quantize.granularity import PerChannel, PerGroup, PerTensor
from shoestring.quantize.post_training import PostTraining
from shoestring.quantize.quantization_aware import QuantizationAware
from shoestring.quantize.ranges import Entropy, MeanSquare, MinMax, Percentile
from shoestring.quantize.rate import Rate
from shoestring.quantize.rounding import GPTQ, Nearest
from shoestring.quantize.toward import Toward
from shoestring.quantize.trellis import Trellis
from shoestring.quantize.weight_only import WeightOnly
from shoestring.quantize.weight_sharing import WeightSharing

__all__ = [
    "GPTQ",
    "BFloat16",
    "Binary",
    "Entropy",
    "MeanSquare",
    "MinMax",
    "Nearest",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "Percentile",
    "PostTraining",
    "QuantizationAware",
    "Rate",
    "Real",
    "ScaledSigns",
    "Signs",
    "Toward",
    "Trellis",
    "WeightOnly",
    "WeightSharing",
]


def __getattr__(name: str) -> Any:
    """`Shared` is what `WeightSharing` was called."""
    if name != "Shared":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    text = "shoestring.quantize.Shared is called WeightSharing now: import that"
    warnings.warn(text, DeprecationWarning, stacklevel=2)
    return WeightSharing
