"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
from shoestring.search.milliseconds import Drafted, Fit, OperationTable, Part, UnknownOperatorError
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
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Space

__all__ = [
    "OPERATIONS",
    "Architecture",
    "AtRandom",
    "Block",
    "CellNetwork",
    "Cells",
    "Combiner",
    "Controller",
    "Convolution",
    "Course",
    "Decision",
    "Drafted",
    "Evolution",
    "Fit",
    "GroupedShuffled",
    "MaxPooled",
    "MeanPooled",
    "Operation",
    "OperationTable",
    "Part",
    "Picks",
    "Searcher",
    "Separable",
    "Space",
    "Unchanged",
    "UnknownOperatorError",
]
