"""Fewer labels: which to ask for, which are wrong, and how to collect them.

What chooses labels needs the extra `train`, and is read from its module when it is asked for: what
reads and shows examples needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from shoestring.label.example import Annotation, Box, Choice, Collection, Example, Label, Span

if TYPE_CHECKING:
    from shoestring.label.badge import Badge
    from shoestring.label.bald import Bald
    from shoestring.label.choosing.batches import Clustered, FarApart, Stochastic, Worthiest
    from shoestring.label.choosing.buying import AsRanked, Balanced, purchases
    from shoestring.label.choosing.prices import ByLength, Equal, Listed
    from shoestring.label.forecast import CurvePoint, Interval, LabelForecast, label_forecast
    from shoestring.label.k_centre import KCentre
    from shoestring.label.least_confident import LeastConfident
    from shoestring.label.margin import Margin
    from shoestring.label.peaks import PeakDoubts, peak_doubts
    from shoestring.label.predictive_entropy import PredictiveEntropy
    from shoestring.label.prob_cover import ProbCover
    from shoestring.label.random_choice import Random
    from shoestring.label.regions import Regions, Tile
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

_HOMES = {
    "shoestring.label.badge": ["Badge"],
    "shoestring.label.bald": ["Bald"],
    "shoestring.label.choosing.batches": ["Clustered", "FarApart", "Stochastic", "Worthiest"],
    "shoestring.label.choosing.buying": ["AsRanked", "Balanced", "purchases"],
    "shoestring.label.choosing.prices": ["ByLength", "Equal", "Listed"],
    "shoestring.label.forecast": ["CurvePoint", "Interval", "LabelForecast", "label_forecast"],
    "shoestring.label.k_centre": ["KCentre"],
    "shoestring.label.least_confident": ["LeastConfident"],
    "shoestring.label.margin": ["Margin"],
    "shoestring.label.peaks": ["PeakDoubts", "peak_doubts"],
    "shoestring.label.predictive_entropy": ["PredictiveEntropy"],
    "shoestring.label.prob_cover": ["ProbCover"],
    "shoestring.label.random_choice": ["Random"],
    "shoestring.label.regions": ["Regions", "Tile"],
    "shoestring.label.stopping": ["Verdict", "little_to_gain", "stabilised"],
    "shoestring.label.typical": ["Typical"],
    "shoestring.label.unmarked": ["Forgiving"],
    "shoestring.label.weak": [
        "Between",
        "DawidSkene",
        "HasAny",
        "MajorityVote",
        "Says",
        "Votes",
        "Weak",
        "combined",
        "rule_table",
        "votes_of",
    ],
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

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
    "Regions",
    "Says",
    "Span",
    "Stochastic",
    "Tile",
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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
