"""Fewer labels: which to ask for, which are wrong, and how to collect them."""

from shoestring.label.badge import Badge
from shoestring.label.bald import Bald
from shoestring.label.choosing.batches import Clustered, FarApart, Stochastic, Worthiest
from shoestring.label.choosing.buying import AsRanked, Balanced, purchases
from shoestring.label.choosing.prices import ByLength, Equal, Listed
from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span
from shoestring.label.forecast import CurvePoint, Interval, LabelForecast, label_forecast
from shoestring.label.k_centre import KCentre
from shoestring.label.least_confident import LeastConfident
from shoestring.label.margin import Margin
from shoestring.label.peaks import PeakDoubts, peak_doubts
from shoestring.label.predictive_entropy import PredictiveEntropy
from shoestring.label.prob_cover import ProbCover
from shoestring.label.random_choice import Random
from shoestring.label.stopping import Verdict, little_to_gain, stabilised
from shoestring.label.typical import Typical
from shoestring.label.unmarked import Forgiving
from shoestring.label.weak import (
    Between,
    DawidSkene,
    HasAny,
    MajorityVote,
    Says,
    Votes,
    Weak,
    combined,
    rule_table,
    votes_of,
)

__all__ = [
    "Annotation",
    "AsRanked",
    "Badge",
    "Balanced",
    "Bald",
    "Between",
    "Box",
    "ByLength",
    "Choice",
    "Clustered",
    "Collection",
    "CurvePoint",
    "DawidSkene",
    "Equal",
    "Example",
    "FarApart",
    "Forgiving",
    "HasAny",
    "Interval",
    "KCentre",
    "Label",
    "LabelForecast",
    "LeastConfident",
    "Listed",
    "MajorityVote",
    "Margin",
    "PeakDoubts",
    "PredictiveEntropy",
    "ProbCover",
    "Random",
    "Says",
    "Span",
    "Stochastic",
    "Typical",
    "Verdict",
    "Votes",
    "Weak",
    "Worthiest",
    "combined",
    "label_forecast",
    "little_to_gain",
    "peak_doubts",
    "purchases",
    "rule_table",
    "stabilised",
    "votes_of",
]
