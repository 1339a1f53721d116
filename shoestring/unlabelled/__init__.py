"""Fewer labels: learn from examples that have none, and refuse it where that hurts.

Needs the extra `train`.
"""

from shoestring.unlabelled.augmentations import (
    Augmentations,
    Distorted,
    Shifted,
    ShiftedMirrored,
    SwappedFeatures,
    WordDropout,
    augmentations,
)
from shoestring.unlabelled.distributions import TwoSamples, two_samples
from shoestring.unlabelled.fix_match import FixMatch
from shoestring.unlabelled.free_match import FreeMatch
from shoestring.unlabelled.guard import RefusedWarning, Tried
from shoestring.unlabelled.labels_alone import LabelsAlone
from shoestring.unlabelled.layer_wise import LayerWise
from shoestring.unlabelled.masked_tokens import MaskedTokens
from shoestring.unlabelled.material import MissingClassWarning, OtherDistributionWarning
from shoestring.unlabelled.mean_teacher import MeanTeacher
from shoestring.unlabelled.pi_model import PiModel
from shoestring.unlabelled.pseudo_label import PseudoLabel
from shoestring.unlabelled.semi_supervised_gan import DenseGenerator, SemiSupervisedGAN
from shoestring.unlabelled.sim_siam import CollapsedWarning, SimSiam

__all__ = [
    "Augmentations",
    "CollapsedWarning",
    "DenseGenerator",
    "Distorted",
    "FixMatch",
    "FreeMatch",
    "LabelsAlone",
    "LayerWise",
    "MaskedTokens",
    "MeanTeacher",
    "MissingClassWarning",
    "OtherDistributionWarning",
    "PiModel",
    "PseudoLabel",
    "RefusedWarning",
    "SemiSupervisedGAN",
    "Shifted",
    "ShiftedMirrored",
    "SimSiam",
    "SwappedFeatures",
    "Tried",
    "TwoSamples",
    "WordDropout",
    "augmentations",
    "two_samples",
]
