"""One EM for annotators and for rules."""

from __future__ import annotations

import numpy as np
import pytest

from shoestring.label import Votes
from shoestring.label.audit.annotators import dawid_skene, majority
from shoestring.label.dawid_skene import Estimate
from shoestring.label.weak import DawidSkene


def test_tables_and_beliefs_by_hand():
    votes = np.array([[0, 1], [1, 1]])
    answers = np.eye(2)[votes]
    estimate = Estimate(answers=answers, whose=np.array([0, 0]), added=0.5, added_to_shares=1)
    belief = np.array([[1.0, 0], [0.5, 0.5]])
    # Of class 0: 1 + 0.5 for answer 0, and 1 + 2·0.5 + 0.5 for answer 1.
    wanted = [[1.5 / 4, 2.5 / 4], [0.5 / 2, 1.5 / 2]]
    assert np.allclose(estimate.tables(belief), [wanted])
    assert np.allclose(estimate.shares(belief), [2.5 / 4, 1.5 / 4])
    table, share = np.array(wanted), estimate.shares(belief)
    first = share * table[:, 0] * table[:, 1]
    found = estimate.belief(estimate.tables(belief), share)
    assert np.allclose(found[0], first / first.sum())


@pytest.mark.parametrize("rounds", [1, 3])
def test_annotators_and_rules_agree_where_all_vote_and_nothing_is_added(rounds: int):
    draw = np.random.default_rng(0)
    true = draw.integers(3, size=200)
    votes = np.where(draw.random((200, 4)) < 0.7, true[:, None], draw.integers(3, size=(200, 4)))
    # Without ties, both begin from about the same.
    untied = np.sort(majority(votes, 3), 1)[:, -1] > 0.5
    votes = votes[untied]
    names = tuple("wxyz")
    made = Votes(matrix=tuple(map(tuple, votes.tolist())), rules=names, classes=tuple("abc"))
    rules = DawidSkene(iterations=rounds, prior=1e-9).probabilities(made)
    people = dawid_skene(votes, 3, rounds=rounds, tolerance=0)
    assert (rules.argmax(1) == people.labels).mean() > 0.98
