"""The quality of annotators, and one label from several votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from shoestring.label.dawid_skene import Estimate
from shoestring.label.majority import checked_votes, majority, one_hot

_SMOOTHING = 0.01
"""Added to each count of a confusion, so that a vote that nobody gave is not impossible."""
_PERMUTATIONS, _OWN_ROUNDS = 20, 10
"""Of the votes of an annotator; and rounds of the EM of one annotator's confusion."""
FEWEST_SHARED, FEWEST_OTHERS = 30, 2
"""Votes on examples that others voted on too, and other people who did, to rate somebody.

Two people who differ: one of them errs, and nothing in their votes tells which.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Annotator:
    """How good one annotator is.

    `index`: of the column of votes, or the number in `people`.
    `votes`: how many.
    `agreement`: the share of the votes that equal what most of the others say, 0 to 1.
    `accuracy`: the estimated share of right votes, 0 to 1. The annotator's own votes are a part of
        the evidence.
    `information`: how much a vote tells of the class, in bits, 0 to log2(C): about 0 for somebody
        who always presses the same key, or any. It is adjusted for chance, as few votes seem to
        tell something whatever they are: of few votes it is too low rather than too high.
    `constant`: whether all votes are the same, of ten or more.
    `shared`: how many of the votes are on examples that somebody else voted on too.
    `agreeing`: how many of these equal what most of the others say: agreement = agreeing / shared.
    `others`: how many other people voted on these examples.

    Agreement, accuracy and information are of the votes on examples that somebody else voted on
    too, and NaN where there is none: then there is nothing to compare with.
    """

    index: int
    votes: int
    agreement: float
    accuracy: float
    information: float
    constant: bool
    shared: int
    agreeing: int
    others: int

    @property
    def is_rated(self) -> bool:
        """Whether accuracy and information tell anything of this person: not of two, nor of few."""
        return self.others >= FEWEST_OTHERS and self.shared >= FEWEST_SHARED


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Annotators:
    """The annotators, the least informative first, and what the votes say.

    Those whose information is NaN are the last.

    `rows`: of each annotator with a vote.
    `probabilities`: N×C, of the class of each example given the votes; NaN where nobody voted.
    `labels`: N, the likeliest class; -1 where nobody voted.
    `confusion`: A×C×C; the share of examples of the class of the row that the annotator gives the
        label of the column.
    `rounds`: of the estimation.
    """

    rows: tuple[Annotator, ...]
    probabilities: np.ndarray
    labels: np.ndarray
    confusion: np.ndarray
    rounds: int


def dawid_skene(
    votes: Any,
    classes: int,
    *,
    people: Any = None,
    rounds: int = 100,
    tolerance: float = 1e-6,
) -> Annotators:
    """How good each annotator is, and the class of each example, estimated together by EM.

    `votes`: N×A integers from 0 to C-1; a negative one where the annotator did not see the example.
    `classes`: C, 2 or more.
    `people`: A integers from 0; columns of one number are votes of one annotator, who saw examples
        several times. None: each column is another annotator.
    `rounds`: at most, 1 or more.
    `tolerance`: it ends when no probability changes more than this, 0 or more.

    Source: Dawid & Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM
    algorithm"; the adjustment of the information is that of Vinh, Epps & Bailey 2010 for mutual
    information, with 20 permutations of the annotator's votes. Differs: counts are smoothed by
    0.01.
    Raises ValueError for votes of another shape, none, or of classes that nobody has seen.
    """
    cast = checked_votes(votes, classes)
    if not (cast >= 0).any():
        raise ValueError("nobody voted: give at least one vote")
    whose = np.arange(cast.shape[1]) if people is None else np.asarray(people)
    if whose.shape != cast.shape[1:] or whose.min() < 0:
        raise ValueError(
            f"people has shape {list(whose.shape)} for {cast.shape[1]} columns of votes: give an "
            "integer from 0 for each"
        )
    each = one_hot(cast, classes)
    seen = np.asarray((cast >= 0).any(1))
    shares = np.where(seen[:, None], np.nan_to_num(majority(cast, classes)), 0.0)
    estimate = Estimate(answers=each, whose=whose, added=_SMOOTHING, added_to_shares=_SMOOTHING)
    confusion, change, done = estimate.tables(shares), np.inf, 0
    while change > tolerance and done < rounds:
        done += 1
        fresh = estimate.belief(confusion, estimate.shares(shares)) * seen[:, None]
        change = np.abs(fresh - shares).max()
        shares = fresh
        confusion = estimate.tables(shares)
    prior = estimate.shares(shares)
    rows = [
        _row(index, cast, whose, shares, confusion, prior)
        for index in range(len(confusion))
        if (cast[:, whose == index] >= 0).any()
    ]
    return Annotators(
        rows=tuple(sorted(rows, key=_order)),
        probabilities=np.where(seen[:, None], shares, np.nan),
        labels=np.where(seen, shares.argmax(1), -1),
        confusion=confusion,
        rounds=done,
    )


def _order(row: Annotator) -> tuple[bool, float, int]:
    unknown = bool(np.isnan(row.information))
    return unknown, 0.0 if unknown else row.information, row.index


def _row(
    index: int,
    cast: np.ndarray,
    whose: np.ndarray,
    shares: np.ndarray,
    confusion: np.ndarray,
    prior: np.ndarray,
) -> Annotator:
    classes = shares.shape[1]
    mine = whose == index
    seen = (cast[:, mine] >= 0).any(1)
    cast, shares = cast[seen], shares[seen]
    examples, columns = np.nonzero(cast[:, mine] >= 0)
    own = cast[:, mine][examples, columns]
    others = cast[:, ~mine]
    each = one_hot(others, classes)
    counts = each.sum(1)[examples]
    told = counts.max(1, initial=0) > 0
    # Where others are tied, a vote that equals one of the most frequent agrees.
    agrees = counts[np.arange(len(own)), own] == counts.max(1, initial=0)
    agreement = accuracy = information = float("nan")
    if told.any():
        logs = np.log(prior) + np.einsum("nal,acl->nc", each, np.log(confusion[whose[~mine]]))
        places, numbers = np.unique(examples[told], return_inverse=True)
        agreement = float(agrees[told].mean())
        accuracy = float(shares[examples[told], own[told]].mean())
        information = _information(logs[places], numbers, own[told], prior)
    return Annotator(
        index=index,
        votes=len(own),
        agreement=agreement,
        accuracy=accuracy,
        information=information,
        constant=bool(len(own) >= 10 and (own == own[0]).all()),
        shared=int(told.sum()),
        agreeing=int(agrees[told].sum()),
        others=len(np.unique(whose[~mine][(others[examples[told]] >= 0).any(0)])),
    )


def _information(
    logs: np.ndarray, numbers: np.ndarray, own: np.ndarray, prior: np.ndarray
) -> float:
    """What a vote tells of the class, in bits, adjusted so that votes at random tell 0.

    It is (found - by chance) / (most - by chance) of the most, where by chance is the mean for the
    same votes in other orders.

    `logs`: E×C, of the probabilities without this annotator's votes.
    `numbers`: V, the example of each vote; `own`: V, the votes.
    """
    most = float(-(prior * np.log2(prior)).sum())
    found = _told(logs, numbers, own, prior)
    draw = np.random.default_rng(0)
    orders = (draw.permutation(own) for _ in range(_PERMUTATIONS))
    chance = float(np.mean([_told(logs, numbers, order, prior) for order in orders]))
    if found <= chance or chance >= most:
        return 0.0
    return min(most, most * (found - chance) / (most - chance))


def _told(logs: np.ndarray, numbers: np.ndarray, own: np.ndarray, prior: np.ndarray) -> float:
    """The mutual information of class and vote, in bits, with this annotator's own confusion.

    The votes themselves are evidence of the classes. So they are where they are at random, and the
    chance of both is the same.
    """
    classes = len(prior)
    confusion = np.full((classes, classes), 1 / classes)  # votes × classes
    for _ in range(_OWN_ROUNDS):
        scores = logs.copy()
        np.add.at(scores, numbers, np.log(confusion)[own])
        shares = np.exp(scores - scores.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        counts = np.full((classes, classes), _SMOOTHING)
        np.add.at(counts, own, shares[numbers])
        confusion = counts / counts.sum(0)
    joint = prior * confusion
    return float((joint * np.log2(confusion / joint.sum(1, keepdims=True))).sum())
