"""Fewer values: what takes few levels takes few bits."""

from shoestring.quantize.rate import PerChannel, PerTensor, Rate
from shoestring.quantize.shared import Shared
from shoestring.quantize.trellis import Trellis

__all__ = ["PerChannel", "PerTensor", "Rate", "Shared", "Trellis"]
