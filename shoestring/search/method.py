"""The choices of a search: who proposes networks, which are tried, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from shoestring.search.halving import Halving
from shoestring.search.proposing import Screening
from shoestring.search.searchers import Evolution, Searcher


@final
@dataclass(frozen=True, kw_only=True)
class Method:
    """How a space is searched.

    `searcher`: what proposes networks.
    `screening`: a first round without training, by a score of untrained networks; None for none.
    `halving`: which of them are trained longer.
    `trainings`: how many full trainings a search takes at most, with each shorter one counted as a
        part; None for as many as there is time for. Ways that are compared get as many.
    """

    searcher: Searcher = field(default_factory=Evolution)
    screening: Screening | None = None
    halving: Halving = field(default_factory=Halving)
    trainings: float | None = None
