"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
from shoestring.search.cluster import tune_on_cluster
from shoestring.search.default_training import DefaultTraining, default_training
from shoestring.search.estimates import (
    CodedBytes,
    CountedOperations,
    TabledMilliseconds,
    UnestimatedWarning,
)
from shoestring.search.finding import ESTIMATES, Method, find
from shoestring.search.found import Candidate, Found
from shoestring.search.halving import Halving
from shoestring.search.hashing import HashedRows, RowEach, Rows
from shoestring.search.knobs import Chosen, Knobs
from shoestring.search.learning_rate import Ending, RangeTest, RateLoss, range_test
from shoestring.search.milliseconds import Drafted, Fit, OperationTable, Part, UnknownOperatorError
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
from shoestring.search.proposing import Screening, SearchWarning
from shoestring.search.rounds import CollapsedError, Rounds, Standing
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Role, Space
from shoestring.search.spaces import space_of
from shoestring.search.stages import Head, Shortcut, Stage, StageNetwork, Stages
from shoestring.search.supernet import Shared, Supernet
from shoestring.search.tables import Norm, TableNetwork, Tables
from shoestring.search.texts import Grams, Pooling, TextNetwork, Texts
from shoestring.search.trials import AsynchronousHalving, Drawn, End, TreeParzen, Tried, Whole
from shoestring.search.tuning import Tuned, UntunedError, tune
from shoestring.search.zero_cost import (
    GradientNorm,
    LinearRegions,
    Parameters,
    UnscoredWarning,
    Weighed,
    ZeroCost,
)

__all__ = [
    "ESTIMATES",
    "OPERATIONS",
    "Architecture",
    "AsynchronousHalving",
    "AtRandom",
    "Block",
    "Candidate",
    "CellNetwork",
    "Cells",
    "Chosen",
    "CodedBytes",
    "CollapsedError",
    "Combiner",
    "Controller",
    "Convolution",
    "CountedOperations",
    "Course",
    "Decision",
    "DefaultTraining",
    "Drafted",
    "Drawn",
    "End",
    "Ending",
    "Evolution",
    "Fit",
    "Found",
    "GradientNorm",
    "Grams",
    "GroupedShuffled",
    "Halving",
    "HashedRows",
    "Head",
    "Inverted",
    "Knobs",
    "LinearRegions",
    "MaxPooled",
    "MeanPooled",
    "Method",
    "Norm",
    "Operation",
    "OperationTable",
    "Parameters",
    "Part",
    "Picks",
    "Pooling",
    "RangeTest",
    "RateLoss",
    "Role",
    "Rounds",
    "RowEach",
    "Rows",
    "Screening",
    "SearchWarning",
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
    "TabledMilliseconds",
    "Tables",
    "TextNetwork",
    "Texts",
    "TreeParzen",
    "Tried",
    "Tuned",
    "Unchanged",
    "UnestimatedWarning",
    "UnknownOperatorError",
    "UnscoredWarning",
    "UntunedError",
    "Weighed",
    "Whole",
    "ZeroCost",
    "default_training",
    "find",
    "range_test",
    "space_of",
    "tune",
    "tune_on_cluster",
]
