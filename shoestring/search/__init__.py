"""Networks that are found: spaces of them, and ways to search these.

Needs the extra `train`.
"""

from shoestring.search.cells import Block, CellNetwork, Cells, Combiner
from shoestring.search.cluster import tune_on_cluster
from shoestring.search.default_training import DefaultTraining, default_training
from shoestring.search.knobs import Chosen, Knobs
from shoestring.search.learning_rate import Ending, RangeTest, RateLoss, range_test
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
from shoestring.search.trials import AsynchronousHalving, Drawn, End, TreeParzen, Tried, Whole
from shoestring.search.tuning import Tuned, UntunedError, tune

__all__ = [
    "OPERATIONS",
    "Architecture",
    "AsynchronousHalving",
    "AtRandom",
    "Block",
    "CellNetwork",
    "Cells",
    "Chosen",
    "Combiner",
    "Controller",
    "Convolution",
    "Course",
    "Decision",
    "DefaultTraining",
    "Drawn",
    "End",
    "Ending",
    "Evolution",
    "GroupedShuffled",
    "Knobs",
    "MaxPooled",
    "MeanPooled",
    "Operation",
    "Picks",
    "RangeTest",
    "RateLoss",
    "Searcher",
    "Separable",
    "Space",
    "TreeParzen",
    "Tried",
    "Tuned",
    "Unchanged",
    "UntunedError",
    "Whole",
    "default_training",
    "range_test",
    "tune",
    "tune_on_cluster",
]
