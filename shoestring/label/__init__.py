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
from shoestring.label.predictive_entropy import PredictiveEntropy
from shoestring.label.prob_cover import ProbCover
from shoestring.label.random_choice import Random
from shoestring.label.stopping import Verdict, little_to_gain, stabilised
from shoestring.label.typical import Typical

__all__ = [
    "Annotation",
    "AsRanked",
    "Badge",
    "Balanced",
    "Bald",
    "Box",
    "ByLength",
    "Choice",
    "Clustered",
    "Collection",
    "CurvePoint",
    "Equal",
    "Example",
    "FarApart",
    "Interval",
    "KCentre",
    "Label",
    "LabelForecast",
    "LeastConfident",
    "Listed",
    "Margin",
    "PredictiveEntropy",
    "ProbCover",
    "Random",
    "Span",
    "Stochastic",
    "Typical",
    "Verdict",
    "Worthiest",
    "label_forecast",
    "little_to_gain",
    "purchases",
    "stabilised",
]
