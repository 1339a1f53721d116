"""Distillation: a smaller model learns from a larger one, or models learn from each other."""

from shoestring.distill.cache import Cached, Filled, cached
from shoestring.distill.codistillation import Copies, EachStep, Peers, codistill
from shoestring.distill.early_exit import EarlyExit, threshold_for
from shoestring.distill.ensemble import Ensemble
from shoestring.distill.hints import Hints
from shoestring.distill.networks import Given, Narrower
from shoestring.distill.process import codistill_one
from shoestring.distill.replace import Replace
from shoestring.distill.student import SoftTargets, Student

__all__ = [
    "Cached",
    "Copies",
    "EachStep",
    "EarlyExit",
    "Ensemble",
    "Filled",
    "Given",
    "Hints",
    "Narrower",
    "Peers",
    "Replace",
    "SoftTargets",
    "Student",
    "cached",
    "codistill",
    "codistill_one",
    "threshold_for",
]
