"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
from shoestring.search.operations import (
    OPERATIONS,
    Convolution,
    GroupedShuffled,
    Inverted,
    MaxPooled,
    MeanPooled,
    Operation,
    Separable,
    Unchanged,
)
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Space
from shoestring.search.stages import Head, Shortcut, Stage, StageNetwork, Stages

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
    "Evolution",
    "GroupedShuffled",
    "Head",
    "Inverted",
    "MaxPooled",
    "MeanPooled",
    "Operation",
    "Picks",
    "Searcher",
    "Separable",
    "Shortcut",
    "Space",
    "Stage",
    "StageNetwork",
    "Stages",
    "Unchanged",
]
