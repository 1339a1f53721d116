"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
from shoestring.search.hashing import HashedRows, RowEach, Rows
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
from shoestring.search.rounds import CollapsedError, Rounds, Standing
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Role, Space
from shoestring.search.stages import Head, Shortcut, Stage, StageNetwork, Stages
from shoestring.search.supernet import Shared, Supernet
from shoestring.search.tables import Norm, TableNetwork, Tables
from shoestring.search.texts import Grams, Pooling, TextNetwork, Texts
from shoestring.search.zero_cost import (
    GradientNorm,
    LinearRegions,
    Parameters,
    UnscoredWarning,
    Weighed,
    ZeroCost,
)

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
    "GradientNorm",
    "Grams",
    "GroupedShuffled",
    "HashedRows",
    "Head",
    "Inverted",
    "LinearRegions",
    "MaxPooled",
    "MeanPooled",
    "Norm",
    "Operation",
    "Parameters",
    "Picks",
    "Pooling",
    "Role",
    "Rounds",
    "RowEach",
    "Rows",
    "Searcher",
    "Separable",
    "Shared",
    "Shortcut",
    "Space",
    "Stage",
    "StageNetwork",
    "Stages",
    "Standing",
    "Supernet",
    "TableNetwork",
    "Tables",
    "TextNetwork",
    "Texts",
    "Unchanged",
    "UnscoredWarning",
    "Weighed",
    "ZeroCost",
]
