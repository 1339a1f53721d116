"""Fewer labels: which to ask for, which are wrong, and how to collect them."""

from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span

__all__ = ["Annotation", "Box", "Choice", "Collection", "Example", "Label", "Span"]
