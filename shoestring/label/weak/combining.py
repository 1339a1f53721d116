"""From votes to probabilities of classes: the majority, and a model of how good rules are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np

from shoestring.label import majority
from shoestring.label.dawid_skene import Estimate
from shoestring.label.weak.votes import Votes


class Combiner(ABC):
    """Makes one probability of each class out of the votes on an example."""

    @abstractmethod
    def probabilities(self, votes: Votes) -> np.ndarray:
        """The probabilities, N×C (float64), each row with the sum 1.

        Where no rule votes, all classes are as probable as among the other examples or equally so.
        """


@final
@dataclass(frozen=True)
class MajorityVote(Combiner):
    """Each rule has one vote; classes with the same number of votes are equally probable.

    Source: none; it is the baseline that label models must beat.
    """

    def probabilities(self, votes: Votes) -> np.ndarray:
        """The share of each class among those with the most votes; without votes 1/C each."""
        return majority.leading(counts(votes))


@final
@dataclass(frozen=True)
class DawidSkene(Combiner):
    """Each rule has a probability of each vote, and of none, for each true class.

    So a rule that only ever votes for one class tells by being silent too.

    Source: Dawid & Skene 1979, section 3.
    Differs: abstaining is one more answer of a rule; the tables have a prior of `prior` examples
    with the votes of the whole data; it begins from the majority of those examples that have votes;
    and it stops after a few iterations, since rules are few and not independent: with more of them
    the likelihood goes on rising while the classes drift (measured, docs/weak-labels.md).

    `iterations`: of expectation maximization, 1 or more.
    `prior`: in examples, above 0.
    """

    iterations: int = 3
    prior: float = 5.0

    def probabilities(self, votes: Votes) -> np.ndarray:
        """The posterior of the classes."""
        said_NFC = one_hot(votes)
        silent_NF1 = 1 - said_NFC.sum(2, keepdims=True)
        answer_NFA = np.concatenate([said_NFC, silent_NF1], 2)
        overall_FA = answer_NFA.mean(0) if len(answer_NFA) else answer_NFA.sum(0)
        covered = votes.covered()
        belief_NC = MajorityVote().probabilities(votes)
        if not covered.any():
            return belief_NC
        estimate = Estimate(
            answers=answer_NFA,
            whose=np.arange(answer_NFA.shape[1]),
            added=self.prior * overall_FA,
            added_to_shares=1,
        )
        # Examples without votes are no evidence of the first tables, whose classes are not known.
        known_NC = belief_NC * covered[:, None]
        for _ in range(self.iterations):
            belief_NC = estimate.belief(estimate.tables(known_NC), estimate.shares(known_NC))
            known_NC = belief_NC
        return belief_NC


def counts(votes: Votes) -> np.ndarray:
    """How many rules vote for each class, N×C."""
    return one_hot(votes).sum(1)


def one_hot(votes: Votes) -> np.ndarray:
    """1 where a rule votes for a class, N×F×C (float64)."""
    return majority.one_hot(votes.array(), len(votes.classes))
