"""Fewer labels: which to ask for, which are wrong, and how to collect them."""

from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span
from shoestring.label.peaks import peak_doubts
from shoestring.label.unmarked import Forgiving
from shoestring.label.weak import (
    Between,
    DawidSkene,
    HasAny,
    MajorityVote,
    Says,
    Votes,
    Weak,
    combined,
    rule_table,
    votes_of,
)

__all__ = [
    "Annotation",
    "Between",
    "Box",
    "Choice",
    "Collection",
    "DawidSkene",
    "Example",
    "Forgiving",
    "HasAny",
    "Label",
    "MajorityVote",
    "Says",
    "Span",
    "Votes",
    "Weak",
    "combined",
    "peak_doubts",
    "rule_table",
    "votes_of",
]
