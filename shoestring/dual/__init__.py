"""Learning from two directions that undo one another: translation there and back, and the like."""

from shoestring.dual.adversarial import Adversarial
from shoestring.dual.back_translation import BackTranslation, EachStep, Rounds
from shoestring.dual.directions import Classes, Direction, Gaussians, Sequences
from shoestring.dual.judges import DenseJudge, Judge, SequenceJudge
from shoestring.dual.learning import DualLearning
from shoestring.dual.lessons import Best, Drawn, RewardError
from shoestring.dual.marginals import Frequencies, LanguageModel, Marginal, Marginals, Mixture
from shoestring.dual.pools import Pool
from shoestring.dual.supervised import DualSupervised
from shoestring.dual.task import Dual, DualTask
from shoestring.dual.two_way import TwoWay

__all__ = [
    "Adversarial",
    "BackTranslation",
    "Best",
    "Classes",
    "DenseJudge",
    "Direction",
    "Drawn",
    "Dual",
    "DualLearning",
    "DualSupervised",
    "DualTask",
    "EachStep",
    "Frequencies",
    "Gaussians",
    "Judge",
    "LanguageModel",
    "Marginal",
    "Marginals",
    "Mixture",
    "Pool",
    "RewardError",
    "Rounds",
    "SequenceJudge",
    "Sequences",
    "TwoWay",
]
