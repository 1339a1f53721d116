"""Pruning: fewer weights.

A weight that is zero costs almost no bytes in the file; a unit that is removed costs no time
either.
"""

from shoestring.prune.blocks import Blocks, LeastLoss, Lightest, bypassed
from shoestring.prune.channels import Channels, OfChannels, OfOperations
from shoestring.prune.convolution_kinds import (
    BlueprintSeparable,
    DepthwiseSeparable,
    Grouped,
    Kind,
    LowRankConvolution,
    Shuffled,
    SpatiallySeparable,
)
from shoestring.prune.convolutions import CheapConvolutions, converted
from shoestring.prune.embeddings import (
    CompactEmbeddings,
    Factored,
    Quotients,
    SharedParts,
    SharedVectors,
)
from shoestring.prune.group_lasso import GroupLasso
from shoestring.prune.heads import Heads
from shoestring.prune.importance import Importance, Norm, Scale, Taylor
from shoestring.prune.low_rank import Energy, LayerOperations, LowRank, Outputs, Weights
from shoestring.prune.magnitude import Global, LayerAdaptive, Magnitude, PerLayer

__all__ = [
    "Blocks",
    "BlueprintSeparable",
    "Channels",
    "CheapConvolutions",
    "CompactEmbeddings",
    "DepthwiseSeparable",
    "Energy",
    "Factored",
    "Global",
    "GroupLasso",
    "Grouped",
    "Heads",
    "Importance",
    "Kind",
    "LayerAdaptive",
    "LayerOperations",
    "LeastLoss",
    "Lightest",
    "LowRank",
    "LowRankConvolution",
    "Magnitude",
    "Norm",
    "OfChannels",
    "OfOperations",
    "Outputs",
    "PerLayer",
    "Quotients",
    "Scale",
    "SharedParts",
    "SharedVectors",
    "Shuffled",
    "SpatiallySeparable",
    "Taylor",
    "Weights",
    "bypassed",
    "converted",
]
