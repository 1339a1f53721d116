"""Fewer labels: which to ask for, which are wrong, and how to collect them."""

from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span
from shoestring.label.peaks import peak_doubts
from shoestring.label.unmarked import Forgiving

__all__ = [
    "Annotation",
    "Box",
    "Choice",
    "Collection",
    "Example",
    "Forgiving",
    "Label",
    "Span",
    "peak_doubts",
]
