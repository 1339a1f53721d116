"""Adapting: to few examples, to several tasks at once, and what adapting makes a model forget.

Needs the extra `train`.
"""

from shoestring.adapt.comparing import ByAttention, ToPrototype
from shoestring.adapt.episodes import Episodes
from shoestring.adapt.forgetting import (
    Ability,
    Forgetting,
    ForgettingWarning,
    adapted,
    forgetting,
)
from shoestring.adapt.frozen import Frozen, LastLayers, NewHead
from shoestring.adapt.keeping import Keeping
from shoestring.adapt.matching import Matching
from shoestring.adapt.prototypes import Prototypes
from shoestring.adapt.rehearsal import Rehearsal
from shoestring.adapt.shared_body import (
    Entry,
    Several,
    Uncertainty,
    Uniform,
    shared_body,
    train_together,
)
from shoestring.adapt.support import BeforeLastLinear, ModelOutputs
from shoestring.adapt.without_forgetting import LearningWithoutForgetting

__all__ = [
    "Ability",
    "BeforeLastLinear",
    "ByAttention",
    "Entry",
    "Episodes",
    "Forgetting",
    "ForgettingWarning",
    "Frozen",
    "Keeping",
    "LastLayers",
    "LearningWithoutForgetting",
    "Matching",
    "ModelOutputs",
    "NewHead",
    "Prototypes",
    "Rehearsal",
    "Several",
    "ToPrototype",
    "Uncertainty",
    "Uniform",
    "adapted",
    "forgetting",
    "shared_body",
    "train_together",
]
