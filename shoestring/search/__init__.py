"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
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
from shoestring.search.rounds import CollapsedError, Rounds, Standing
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Role, Space
from shoestring.search.supernet import Shared, Supernet

__all__ = [
    "OPERATIONS",
    "Architecture",
    "AtRandom",
    "Block",
    "CellNetwork",
    "Cells",
    "CollapsedError",
    "Combiner",
    "Controller",
    "Convolution",
    "Course",
    "Decision",
    "Evolution",
    "GroupedShuffled",
    "MaxPooled",
    "MeanPooled",
    "Operation",
    "Picks",
    "Role",
    "Rounds",
    "Searcher",
    "Separable",
    "Shared",
    "Space",
    "Standing",
    "Supernet",
    "Unchanged",
]
