"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, BlockCombiner, CellNetwork, Cells
from shoestring.search.cluster import tune_on_cluster
from shoestring.search.default_training import DefaultTraining, default_training
from shoestring.search.estimates import (
    CodedBytes,
    CountedOperations,
    TabledMilliseconds,
    UnestimatedWarning,
)
from shoestring.search.finding import ESTIMATES, find
from shoestring.search.found import Candidate, Found
from shoestring.search.halving import Halving
from shoestring.search.hashing import HashedRows, RowEach, Rows
from shoestring.search.knobs import Chosen, Knobs
from shoestring.search.learning_rate import RangeEnding, RangeTest, RateLoss, range_test
from shoestring.search.method import Method
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
from shoestring.search.rounds import CollapsedError, RankingRounds, Standing
from shoestring.search.searchers import AtRandom, Controller, Course, Evolution, Searcher
from shoestring.search.space import Architecture, Decision, Picks, Role, Space
from shoestring.search.spaces import space_of
from shoestring.search.stages import Head, NetworkStage, Shortcut, StageNetwork, Stages
from shoestring.search.supernet import Shared, Supernet
from shoestring.search.tables import TableNetwork, TableNorm, Tables
from shoestring.search.texts import Grams, Ngrams, Pooling, TextNetwork
from shoestring.search.training_length import TooShortError
from shoestring.search.trials import (
    End,
    RandomSettings,
    TreeParzen,
    TriedSettings,
)
from shoestring.search.tuning import Tuned, UntunedError, tune
from shoestring.search.zero_cost import (
    GradientNorm,
    LinearRegions,
    ParameterCount,
    UnscoredWarning,
    Weighed,
    ZeroCost,
)

__all__ = [
    "ESTIMATES",
    "OPERATIONS",
    "Architecture",
    "AtRandom",
    "Block",
    "BlockCombiner",
    "Candidate",
    "CellNetwork",
    "Cells",
    "Chosen",
    "CodedBytes",
    "CollapsedError",
    "Controller",
    "Convolution",
    "CountedOperations",
    "Course",
    "Decision",
    "DefaultTraining",
    "Drafted",
    "End",
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
    "NetworkStage",
    "Ngrams",
    "Operation",
    "OperationTable",
    "ParameterCount",
    "Part",
    "Picks",
    "Pooling",
    "RandomSettings",
    "RangeEnding",
    "RangeTest",
    "RankingRounds",
    "RateLoss",
    "Role",
    "RowEach",
    "Rows",
    "Screening",
    "SearchWarning",
    "Searcher",
    "Separable",
    "Shared",
    "Shortcut",
    "Space",
    "StageNetwork",
    "Stages",
    "Standing",
    "Supernet",
    "TableNetwork",
    "TableNorm",
    "TabledMilliseconds",
    "Tables",
    "TextNetwork",
    "TooShortError",
    "TreeParzen",
    "TriedSettings",
    "Tuned",
    "Unchanged",
    "UnestimatedWarning",
    "UnknownOperatorError",
    "UnscoredWarning",
    "UntunedError",
    "Weighed",
    "ZeroCost",
    "default_training",
    "find",
    "range_test",
    "space_of",
    "tune",
    "tune_on_cluster",
]
