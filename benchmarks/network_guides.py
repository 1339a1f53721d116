"""Guides: what may tell which networks of a search will be best, before they are trained fully.

Each ranks the networks of one search by a number, higher for those it would choose. A forecast is
a ridge regression on the networks of searches of other tasks; all that it reads and foretells is
standardised within a search, so that nothing depends on the task or on the space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from rows import Rows
from scipy.stats import rankdata

from shoestring.recipes.rows import Row

Measured = Mapping[str, float]
"""What was measured of a network, by metric."""
Search = Sequence[Measured]
"""The networks of one task and seed."""
OF, KEPT = 8, 1 / 3
"""How many proposals there are for each network that is trained, as in `Screening`; and the share
of the networks that goes on to a longer training, as in `Halving`."""
PENALTY = 1.0
"""Of the ridge regression: on coefficients of columns that are standardised, of some 160 rows."""
COSTS = ("parameters", "operations", "bytes", "depth")


@dataclass(frozen=True)
class Guide:
    """A number of each network of a search.

    `reads`: the metrics that it reads. One alone is the number itself.
    `learns`: whether it is a forecast from these, learnt from searches of other tasks.
    """

    reads: tuple[str, ...]
    learns: bool = False

    def __call__(self, search: Search, others: Sequence[Search]) -> np.ndarray:
        """A number for each network; `others` are searches of other tasks."""
        if not self.learns:
            return np.array([one.get(self.reads[0], -math.inf) for one in search])
        given = np.concatenate([self._columns(one) for one in others])
        wanted = np.concatenate([standardised([n["full"] for n in one]) for one in others])
        square = given.T @ given + PENALTY * np.eye(given.shape[1])
        return self._columns(search) @ np.linalg.solve(square, given.T @ wanted)

    def _columns(self, search: Search) -> np.ndarray:
        """Networks × metrics; costs as logarithms, since spaces differ by orders of magnitude."""
        columns = list[np.ndarray]()
        for metric in self.reads:
            values = np.array([one[metric] for one in search])
            columns.append(standardised(np.log(values) if metric in COSTS else values))
        return np.stack(columns, 1)


BEFORE = {
    "parameters": Guide(("parameters",)),
    "operations": Guide(("operations",)),
    "bytes": Guide(("bytes",)),
    "depth": Guide(("depth",)),
    "gradient norm": Guide(("gradient norm",)),
    "linear regions": Guide(("linear regions",)),
    "forecast from costs": Guide(COSTS, learns=True),
}
"""Guides that need no training."""
AFTER = {
    "early score": Guide(("early",)),
    "forecast from costs and early score": Guide((*COSTS, "early"), learns=True),
}
"""Guides that need a ninth of a training."""
GUIDES = BEFORE | AFTER


CHOSEN = f"chosen of {OF}"
"""The mean final score of the network that a guide ranks first, of eight drawn at random."""
BEST_KEPT = "best of the better third"
"""The best final score in the third of the networks that a guide ranks first."""
SCREENED = "best early score of the better third"
"""The final score of that network in this third which is the best after the early training: what a
search finds that trains the third briefly, and one network of it fully."""


def standardised(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """With a mean of 0 and a deviation of 1; zeros where all are alike."""
    given = np.asarray(values, dtype=float)
    deviation = given.std()
    return (given - given.mean()) / (deviation if deviation > 0 else 1.0)


def compared(rows: Rows, names: Sequence[str], seeds: Sequence[int]) -> None:
    """The rows of each guide, task and seed: how well it ranks and what it chooses."""
    searches = {(name, seed): of_search(rows.rows, name, seed) for name in names for seed in seeds}
    for (name, seed), search in searches.items():
        full = np.array([one["full"] for one in search])
        others = [one for (other, _), one in searches.items() if other != name]
        unranked = f"{name}, no guide"
        rows.add(unranked, CHOSEN, fmean(full), "%", seed)
        early, kept = np.array([one["early"] for one in search]), kept_of(full)
        rows.add(unranked, BEST_KEPT, first_of_drawn(full, full, kept), "%", seed)
        rows.add(unranked, SCREENED, first_of_drawn(early, full, kept), "%", seed)
        rows.add(unranked, "best", max(full), "%", seed)
        for kind, guide in GUIDES.items():
            found, subject = guide(search, others), f"{name}, {kind}"
            rows.add(subject, "rank correlation", ranked_alike(found, full), "", seed)
            rows.add(subject, CHOSEN, first_of_drawn(found, full, min(OF, len(full))), "%", seed)
            rows.add(subject, BEST_KEPT, best_kept(found, full), "%", seed)
            rows.add(subject, SCREENED, screened(found, early, full), "%", seed)


def of_search(rows: Sequence[Row], name: str, seed: int) -> list[dict[str, float]]:
    """The networks of a task and seed, in the order in which they were drawn."""
    found = dict[str, dict[str, float]]()
    for row in rows:
        if row["seed"] == seed and row["subject"].startswith(f"{name}, "):
            found.setdefault(row["subject"], {})[row["metric"]] = row["value"]
    return [one for one in found.values() if "full" in one]


def ranked_alike(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Spearman's rank correlation, -1 to 1; 0 where either tells no two networks apart."""
    return float(fmean(standardised(rankdata(ours)) * standardised(rankdata(theirs))))


def kept_of(full: np.ndarray) -> int:
    """How many of these go on to a longer training, at least one."""
    return max(int(KEPT * len(full) + 1e-9), 1)


def first_of_drawn(found: np.ndarray, full: np.ndarray, drawn: int) -> float:
    """The mean final score of the network that a guide ranks first, of so many drawn at random.

    It is exact: the mean over all ways to draw. Of networks that a guide does not tell apart each
    is chosen as often.
    """
    count = len(full)
    ways = [math.comb(count - 1 - place, drawn - 1) for place in range(count)]
    ranked = _in_order(found, _tied(found, full))
    return float(np.dot(ways, ranked)) / math.comb(count, drawn)


def best_kept(found: np.ndarray, full: np.ndarray) -> float:
    """The best final score among the networks that a guide ranks in the better third."""
    return float(max(_in_order(found, full)[: kept_of(full)]))


def screened(found: np.ndarray, early: np.ndarray, full: np.ndarray) -> float:
    """The final score of the best after the early training, in a guide's better third."""
    kept = kept_of(full)
    return float(_in_order(found, full)[:kept][np.argmax(_in_order(found, early)[:kept])])


def _in_order(found: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values of networks, from what a guide ranks first to last."""
    return values[np.argsort(-found, kind="stable")]


def _tied(found: np.ndarray, full: np.ndarray) -> np.ndarray:
    """Final scores, with their mean among networks of one number."""
    means = {one: float(full[found == one].mean()) for one in set(found.tolist())}
    return np.array([means[one] for one in found.tolist()])
