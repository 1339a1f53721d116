"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
from shoestring.search.estimates import CodedBytes, CountedOperations
from shoestring.search.finding import Method, find
from shoestring.search.found import Candidate, Found
from shoestring.search.halving import Halving
from shoestring.search.operations import (
    OPERATIONS,
    Convolution,
    GroupedShuffled,
    MaxPooled,
    MeanPooled,
    Operation,
    Separable,
    Unchanged,
)
from shoestring.search.proposing import SearchWarning
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Space

__all__ = [
    "OPERATIONS",
    "Architecture",
    "AtRandom",
    "Block",
    "Candidate",
    "CellNetwork",
    "Cells",
    "CodedBytes",
    "Combiner",
    "Controller",
    "Convolution",
    "CountedOperations",
    "Course",
    "Decision",
    "Evolution",
    "Found",
    "GroupedShuffled",
    "Halving",
    "MaxPooled",
    "MeanPooled",
    "Method",
    "Operation",
    "Picks",
    "SearchWarning",
    "Searcher",
    "Separable",
    "Space",
    "Unchanged",
    "find",
]
