"""Fewer values: what takes few levels takes few bits."""

from shoestring.quantize.shared import Shared

__all__ = ["Shared"]
