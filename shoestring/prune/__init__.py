"""Fewer weights: what is zero costs next to nothing in the file."""

from shoestring.prune.magnitude import Global, LayerAdaptive, Magnitude, PerLayer

__all__ = ["Global", "LayerAdaptive", "Magnitude", "PerLayer"]
