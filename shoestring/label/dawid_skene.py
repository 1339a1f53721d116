"""The EM of Dawid and Skene, for annotators and for rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

_TINY = 1e-12


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """The classes of examples and the tables of voters, estimated in turns.

    `answers`: N×F×A, 1 where a voter gives that answer of an example, else 0.
    `whose`: F integers from 0; columns of one number share a table.
    `added`: to the counts of each table, as if so many answers had been seen: a number, or V×A for
        V voters.
    `added_to_shares`: to the number of examples of each class.

    Source: Dawid & Skene 1979, section 3. Differs: the added counts.
    """

    answers: np.ndarray
    whose: np.ndarray
    added: np.ndarray | float
    added_to_shares: float

    def tables(self, belief: np.ndarray) -> np.ndarray:
        """Of each voter the probability of each answer (column) by class (row), V×C×A.

        `belief`: N×C, of the classes; a row of zeros where an example is no evidence.
        """
        classes, answers = belief.shape[1], self.answers.shape[2]
        counts = np.zeros((int(self.whose.max()) + 1, classes, answers))
        counts += self.added if np.ndim(self.added) == 0 else np.asarray(self.added)[:, None, :]
        np.add.at(counts, self.whose, np.einsum("nc,nfa->fca", belief, self.answers))
        return counts / counts.sum(2, keepdims=True)

    def shares(self, belief: np.ndarray) -> np.ndarray:
        """The probability of each class before any vote, C."""
        added = self.added_to_shares
        return (belief.sum(0) + added) / (belief.sum() + belief.shape[1] * added)

    def belief(self, tables: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """The probability of each class of each example, N×C."""
        logs = np.log(tables[self.whose].clip(_TINY))
        scores = np.log(shares) + np.einsum("nfa,fca->nc", self.answers, logs)
        raised = np.exp(scores - scores.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)
