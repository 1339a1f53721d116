"""Pictures that nobody took: networks that make them, and what these are worth.

Needs the extra `train`.
"""

from shoestring.generate.classifying import classification_score
from shoestring.generate.coverage import Coverage, coverage
from shoestring.generate.frechet import frechet_distance
from shoestring.generate.gan import GAN, CollapsedWarning, DiscriminatorWonWarning, Trained
from shoestring.generate.generation import Generation
from shoestring.generate.losses import (
    TEN,
    Balanced,
    Hinge,
    LeastSquares,
    Loss,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    Wasserstein,
)
from shoestring.generate.memorised import Memorised, memorised
from shoestring.generate.noise import Noise, Samples, Simulated, refined, samples
from shoestring.generate.quality import MemorisedWarning, Quality, features, quality
from shoestring.generate.rare import balanced, class_weighted, repeated
from shoestring.generate.regularisers import (
    AroundReal,
    AtReal,
    BetweenRealAndMade,
    SpectralNorm,
    Unregularised,
    WeightsClipped,
)

__all__ = [
    "GAN",
    "TEN",
    "AroundReal",
    "AtReal",
    "Balanced",
    "BetweenRealAndMade",
    "CollapsedWarning",
    "Coverage",
    "DiscriminatorWonWarning",
    "Generation",
    "Hinge",
    "LeastSquares",
    "Loss",
    "Memorised",
    "MemorisedWarning",
    "Minimax",
    "Noise",
    "NonSaturating",
    "Quality",
    "RelativisticAverage",
    "Samples",
    "Simulated",
    "SpectralNorm",
    "Trained",
    "Unregularised",
    "Wasserstein",
    "WeightsClipped",
    "balanced",
    "class_weighted",
    "classification_score",
    "coverage",
    "features",
    "frechet_distance",
    "memorised",
    "quality",
    "refined",
    "repeated",
    "samples",
]
